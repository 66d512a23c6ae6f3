// Package proof is what somebody holds who is shown a part of a log and not the log: a file that proves one entry, a file that proves that
// nothing was removed between two checkpoints, and how both are checked against the public keys of the log and of its witnesses.
//
// The files are documented in docs/reference/proofs.md, so that anybody can check them without this package. Nothing here opens a file, a
// connection or a clock. It imports the transparency-log library (the arithmetic of RFC 9162) and signed notes, and no room of ours.
package proof
