/*
 * http/serve: one thread for each channel that sbuild opens, until sbuild is gone.
 */
#ifndef SB_HTTP_SERVE_H
#define SB_HTTP_SERVE_H

/* control: the channel that the program was started with. Returns the exit status. */
int sb_serve(int control);

#endif
