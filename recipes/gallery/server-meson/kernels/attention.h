/* Attention over short sequences, a function for each length of a head. */
#ifndef ATTENTION_H
#define ATTENTION_H

enum { LENGTH = 64 };
#define HEADS(X) X(8) X(16) X(24) X(32) X(40) X(48) X(56) X(64)

void scores(int head, const float *query, const float *keys, float *out);
void mask(int head, float *scores);
void cache(int head, const float *keys, float *out);
void values(int head, const float *scores, const float *values, float *out);
#endif
