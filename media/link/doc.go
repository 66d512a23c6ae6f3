// Package link puts the data plane into a process of its own: Client is what gives commands to it, Server is that process.
//
// Both ends remember what was commanded last of each leg. So a media process that dies is started again and told all of it, on the same sockets and the same
// memory; and a media process whose control process died carries packets on, and gives everything back to the next one: memory, sockets and legs.
// The sockets are held by both: what comes while one of them is away waits in the kernel.
//
// They speak frames over a Unix socket of the same user. Keys of media travel there and nowhere else. The fence of the media process has the snapshot of the control
// process: it is sent whole at each swap, first thing on each connection, and put in force at once; grants in it end by the clock, whoever is alive.
//
// It imports media/plane, media/srtp, sovereign and internal/osnet.
package link
