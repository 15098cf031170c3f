/*
 * http/failure: what libcurl says went wrong, in words that help, and whether repeating may.
 */
#ifndef SB_HTTP_FAILURE_H
#define SB_HTTP_FAILURE_H

#include <curl/curl.h>

#include "base/error.h"

/* host: "registry.example.com:5000"; detail: libcurl's error buffer. Returns -1. */
int sb_failure(struct sb_error *err, CURL *curl, CURLcode code, const char *host,
               const char *detail);

#endif
