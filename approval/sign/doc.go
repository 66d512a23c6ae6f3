// Package sign is what people sign at the gate: statements over a ticket's plan, vouches for the keys of others, and the files that carry both between
// machines that share no wire.
//
// Everything here is a pure function of bytes and keys: it opens no file, knows no ticket and asks no clock, so that an air-gapped machine, the node and an auditor
// judge by the same code. It imports internal/jcs and the standard library.
package sign
