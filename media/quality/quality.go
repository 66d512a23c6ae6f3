// Package quality judges how a call's media sounds and whether it flows at all, from counters alone: the E-model of ITU-T G.107 over windows of five
// seconds, liveness of each direction, and the reports of RFC 3550 and RFC 3611 that tell one end what the other got.
//
// Everything here is pure: time and dice are given, nothing is sent, and no call allocates but by growing a buffer that it was given. Every struct that is
// kept between two calls is of a fixed size and without pointers, so that it may lie in shared memory and be gone on with by another process. Moments are nanoseconds
// of one clock, the same in every call; 0 means never.
//
// It imports the standard library alone.
package quality
