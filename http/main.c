/* sbuild-http: the program that speaks HTTP for sbuild. */
#include <curl/curl.h>
#include <stdio.h>

int main(void) {
    fprintf(stderr, "%s\n", curl_version());
    return 2;
}
