#include "base/initbytes.h"

/* Linked in as it is. */
__asm__(".section .rodata, \"a\"\n"
        ".balign 16\n"
        "sb_init_begin: .incbin \"" SB_INIT_FILE "\"\n"
        "sb_init_end: .byte 0\n"
        ".previous\n");
extern const char sb_init_begin[] __attribute__((visibility("hidden")));
extern const char sb_init_end[] __attribute__((visibility("hidden")));

const void *sb_init_bytes(size_t *out_len) {
    *out_len = (size_t)(sb_init_end - sb_init_begin);
    return sb_init_begin;
}
