// Package cosign is the log's way to its witnesses (C2SP tlog-witness): now and then it posts the newest checkpoint to each, and keeps it with the
// signatures that came back.
//
// It follows the log and holds it up in nothing: a witness that is slow, gone, or lies costs signatures and never an entry or a call. What it was given is
// checked before it is kept. That too few witnesses sign is one entry of the log, and that enough do so again is another one.
// It imports audit, audit/proof, notify (the way out) and sovereign.
package cosign
