package osnet

// SocketOptions are what a Socket may have of its own.
type SocketOptions struct {
	DSCP   int // 0 to 63: the code point (RFC 2474) of all that is sent; -1 leaves it to the system. IPv4 and IPv6 alike
	Buffer int // bytes asked for the queue of what nobody read yet, best effort; 0 leaves it
}

// Name is a socket address as the kernel has it: nothing points out of it, and two are equal (==) when they name the same. The bytes that a family does not use
// are zero, and so is the flow label of IPv6. The zero Name is no address.
type Name [28]byte
