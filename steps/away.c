#include "steps/away.h"

#include "registry/remote.h"

static uint64_t patience_ms(struct sb_registry *registry) {
    return sb_registry_retry(registry, "").policy.patience;
}

/* A second before the second attempt, then twice as long each time, up to 30 (Acquire::Retries). */
unsigned sb_away_apt_retries(struct sb_registry *registry) {
    enum { LONGEST = 30000 };
    uint64_t patience = patience_ms(registry), waited = 0, pause = 1000;
    unsigned n = 0;
    for (; waited < patience; n++) {
        waited += pause;
        pause = pause * 2 < LONGEST ? pause * 2 : LONGEST;
    }
    return n;
}

/* None before the second attempt, half a second before the third, then twice as long each time, up
 * to two minutes (urllib3's Retry, with a factor of 0.25). */
unsigned sb_away_pip_retries(struct sb_registry *registry) {
    enum { LONGEST = 120000 };
    uint64_t patience = patience_ms(registry), waited = 0, pause = 500;
    unsigned n = patience > 0;
    for (; waited < patience; n++) {
        waited += pause;
        pause = pause * 2 < LONGEST ? pause * 2 : LONGEST;
    }
    return n;
}
