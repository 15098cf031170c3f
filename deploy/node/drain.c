#include "deploy/node/drain.h"

#include <poll.h>

#include "base/clock.h"
#include "base/process.h"
#include "base/text.h"
#include "deploy/host/ports.h"

#define QUIET 1.0 /* seconds without any connection */
#define NAP   50  /* milliseconds */

int sb_drain(const struct sb_node_service *service, uint16_t port, uint32_t limit,
             struct sb_error *err) {
    double began = sb_clock_seconds(), quiet = began;
    bool told = false;
    while (limit > 0) {
        struct sb_port_use use = sb_port_use(port);
        double at = sb_clock_seconds();
        if (sb_interrupt_check(err) < 0)
            return -1;
        if (use.connections > 0)
            quiet = at;
        if (at - quiet >= QUIET)
            break;
        if (at - began >= limit) {
            if (use.connections > 0)
                sb_node_say(service->node, "%s: connections to the old one are cut after %s: %u",
                            service->name, sb_text_seconds(limit).text, use.connections);
            break;
        }
        if (use.connections > 0 && !told)
            sb_node_say(service->node,
                        "%s: waiting for connections to the old one, on port %u, to end: %u "
                        "(%s at most)",
                        service->name, port, use.connections, sb_text_seconds(limit).text);
        told = told || use.connections > 0;
        struct pollfd interrupted = {.fd = sb_interrupt_fd(), .events = POLLIN};
        poll(&interrupted, 1, NAP);
    }
    return 0;
}
