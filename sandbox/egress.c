#include "sandbox/egress.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"

/* A program is put together here, instruction by instruction: jumps to its two ends are filled in
 * when those are known. */
enum { PROGRAM_SIZE = 192, ALLOW = 1, DENY = 2, ADD_VALUE = BPF_ALU64 | BPF_K /* BPF_ADD is 0 */ };

struct program {
    struct bpf_insn code[PROGRAM_SIZE];
    unsigned char target[PROGRAM_SIZE]; /* 0, ALLOW, DENY */
    int n;
};

static int add(struct program *p, uint8_t code, uint8_t to, uint8_t from, int16_t offset,
               int32_t value) {
    p->code[p->n] = (struct bpf_insn){
        .code = code, .dst_reg = to & 0xf, .src_reg = from & 0xf, .off = offset, .imm = value};
    return p->n++;
}

static void move(struct program *p, uint8_t to, uint8_t from) {
    add(p, BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
}

/* A jump by a comparison of register 8 (or 0) with a value, as 32 bits. */
static int jump(struct program *p, uint8_t how, uint8_t reg, uint32_t value, int target) {
    int at = add(p, BPF_JMP32 | how | BPF_K, reg, 0, 0, (int32_t)value);
    p->target[at] = (unsigned char)target;
    return at;
}

static void here(struct program *p, int from) {
    p->code[from].off = (int16_t)(p->n - from - 1);
}

/* Bytes of the packet to the stack, below register 10: the offset is a value, or in register 2. */
static void load(struct program *p, int32_t offset, int32_t bytes) {
    move(p, BPF_REG_1, BPF_REG_6);
    if (offset >= 0)
        add(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, offset);
    move(p, BPF_REG_3, BPF_REG_10);
    add(p, ADD_VALUE, BPF_REG_3, 0, 0, -16);
    add(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_4, 0, 0, bytes);
    add(p, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_skb_load_bytes);
    jump(p, BPF_JNE, BPF_REG_0, 0, ALLOW);
}

static void word(struct program *p, int16_t index) {
    add(p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_8, BPF_REG_10, (int16_t)(-16 + 4 * index), 0);
}

static void mask(struct program *p, uint32_t bits) {
    add(p, BPF_ALU | BPF_AND | BPF_K, BPF_REG_8, 0, 0, (int32_t)htonl(bits));
}

/* The port to which it goes lies behind two bytes of the transport's header, whose place is in
 * register 2 but for these: 53 may pass. */
static void check_port(struct program *p) {
    load(p, -1, 2);
    add(p, BPF_LDX | BPF_MEM | BPF_H, BPF_REG_8, BPF_REG_10, -16, 0);
    jump(p, BPF_JEQ, BPF_REG_8, htons(53), ALLOW);
    add(p, BPF_JMP | BPF_JA, 0, 0, 0, 0);
    p->target[p->n - 1] = DENY;
}

static void allow(struct program *p) {
    int at = add(p, BPF_JMP | BPF_JA, 0, 0, 0, 0);
    p->target[at] = ALLOW;
}

/* 169.254.169.254 and its like, and those of Alibaba, Azure and Oracle: as http/origin.c has them.
 * Jumps there are filled in later; any other address is allowed. */
enum { V4_JUMPS = 4 };
static void compare_v4(struct program *p, int16_t index, int *out_bad) {
    word(p, index);
    out_bad[0] = jump(p, BPF_JEQ, BPF_REG_8, htonl(0x646464c8), 0);
    out_bad[1] = jump(p, BPF_JEQ, BPF_REG_8, htonl(0xa83f8110), 0);
    out_bad[2] = jump(p, BPF_JEQ, BPF_REG_8, htonl(0xc00000c0), 0);
    mask(p, 0xffff0000);
    out_bad[3] = jump(p, BPF_JEQ, BPF_REG_8, htonl(0xa9fe0000), 0);
    allow(p);
}

static void check_v4(struct program *p) {
    int bad[V4_JUMPS];
    load(p, 16, 4);
    compare_v4(p, 0, bad);
    for (int i = 0; i < V4_JUMPS; i++)
        here(p, bad[i]);
    load(p, 0, 1); /* the header's length, in words of four bytes */
    add(p, BPF_LDX | BPF_MEM | BPF_B, BPF_REG_2, BPF_REG_10, -16, 0);
    add(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 15);
    add(p, BPF_ALU64 | BPF_LSH | BPF_K, BPF_REG_2, 0, 0, 2);
    add(p, ADD_VALUE, BPF_REG_2, 0, 0, 2);
    check_port(p);
}

/* What routers make IPv4 of, its address in the last word (mapped and its like, NAT64) or behind
 * the first two bytes (6to4). */
static void compare_inner(struct program *p, int *out_bad) {
    word(p, 0);
    int mapped = jump(p, BPF_JEQ, BPF_REG_8, 0, 0);
    int nat64 = jump(p, BPF_JEQ, BPF_REG_8, htonl(0x0064ff9b), 0);
    mask(p, 0xffff0000);
    int other = jump(p, BPF_JNE, BPF_REG_8, htonl(0x20020000), 0);
    load(p, 24 + 2, 4);
    compare_v4(p, 0, out_bad);
    here(p, mapped);
    here(p, nat64);
    compare_v4(p, 3, out_bad + V4_JUMPS);
    here(p, other);
}

/* Those of AWS, of its pods, and of Google, Oracle and Scaleway: fd00:ec2::254 and its like. */
static void check_v6(struct program *p) {
    static const struct {
        uint32_t first, last; /* words */
    } services[] = {{0xfd000ec2, 0x254},
                    {0xfd000ec2, 0x23},
                    {0xfd2000ce, 0x254},
                    {0xfd0000c1, 0xa9fea9fe},
                    {0xfd000042, 0x42}};
    enum { SERVICES = sizeof services / sizeof *services, INNER = 2 * V4_JUMPS };
    int bad[SERVICES + INNER + 1];
    load(p, 24, 16);
    for (int i = 0; i < SERVICES; i++) {
        word(p, 0);
        int other = jump(p, BPF_JNE, BPF_REG_8, htonl(services[i].first), 0);
        word(p, 3);
        bad[i] = jump(p, BPF_JEQ, BPF_REG_8, htonl(services[i].last), 0);
        here(p, other);
    }
    compare_inner(p, bad + SERVICES);
    word(p, 0);
    mask(p, 0xffc00000);
    bad[SERVICES + INNER] = jump(p, BPF_JEQ, BPF_REG_8, htonl(0xfe800000), 0);
    allow(p);
    for (int i = 0; i <= SERVICES + INNER; i++)
        here(p, bad[i]);
    add(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 42);
    check_port(p);
}

static void make_program(struct program *p) {
    move(p, BPF_REG_6, BPF_REG_1);
    add(p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_8, BPF_REG_1, offsetof(struct __sk_buff, protocol),
        0);
    int v6 = jump(p, BPF_JEQ, BPF_REG_8, htons(ETH_P_IPV6), 0);
    jump(p, BPF_JNE, BPF_REG_8, htons(ETH_P_IP), ALLOW);
    check_v4(p);
    here(p, v6);
    check_v6(p);
    for (int end = ALLOW; end <= DENY; end++) {
        for (int i = 0; i < p->n; i++)
            if (p->target[i] == end)
                here(p, i);
        add(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, end == ALLOW);
        add(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    }
}

static int bpf(enum bpf_cmd command, union bpf_attr *attributes) {
    return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

bool sb_egress_filter(const char *directory) {
    static const char licence[] = "MIT"; /* none of the kernel's functions that are called asks */
    struct program program = {.n = 0};
    make_program(&program);
    union bpf_attr load_it = {.prog_type = BPF_PROG_TYPE_CGROUP_SKB,
                              .insn_cnt = (uint32_t)program.n,
                              .insns = (uint64_t)(uintptr_t)program.code,
                              .license = (uint64_t)(uintptr_t)licence,
                              .expected_attach_type = BPF_CGROUP_INET_EGRESS};
    sb_autoclose int group = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclose int fd = group < 0 ? -1 : bpf(BPF_PROG_LOAD, &load_it);
    if (fd < 0)
        return false;
    union bpf_attr attach = {.target_fd = (uint32_t)group,
                             .attach_bpf_fd = (uint32_t)fd,
                             .attach_type = BPF_CGROUP_INET_EGRESS,
                             .attach_flags = BPF_F_ALLOW_MULTI};
    return bpf(BPF_PROG_ATTACH, &attach) == 0;
}
