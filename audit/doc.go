// Package audit is the spine of the house: an append-only transparency log of typed entries with signed checkpoints and proofs,
// the residency receipt of every call, and the pseudonyms that keep people out of both.
//
// If it is not in the log it did not happen. Append returns only when the entry is durable. Open keeps the log on disk as C2SP
// tlog-tiles, Memory keeps the same tree without a disk, Verify checks a folder offline with nothing but the public key. It imports
// the transparency-log library and no room of ours.
package audit
