/*
 * http/login: `sbuild-http login` and `sbuild-http logout`, which `sbuild login` and `sbuild
 * logout` run: only this program sees passwords.
 */
#ifndef SB_HTTP_LOGIN_H
#define SB_HTTP_LOGIN_H

/* argv[0] is "login" or "logout". Prints to stdout and stderr; returns the exit status. */
int sb_login_main(int argc, char **argv);
int sb_logout_main(int argc, char **argv);

#endif
