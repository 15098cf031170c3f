#include "http/aws_sign.h"

int sb_aws_sign(const struct sb_settings *settings, const struct sb_aws_request *request,
                struct sb_strings *out_headers, struct sb_error *err) {
    (void)settings, (void)out_headers;
    return sb_fail(err, SB_E_NETWORK, "signing requests to %s is not there yet", request->service);
}
