// Package worm keeps a second copy of a log where nobody can delete from it, and brings a log back from there: objects in a bucket with object lock in
// compliance mode.
//
// Each file of the log becomes an object once, under a name that never gets other content; what differs is an alarm. What a node needs beside the log, its keys and
// the salts of its pseudonyms, goes there sealed to a key that is kept offline (RFC 9180); what must be erasable is not locked. It imports the log, the files of
// proofs and the client of the bucket, and the standard library's HPKE.
package worm
