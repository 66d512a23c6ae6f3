// Package sovereign is the law of the house: which jurisdiction a place belongs to, what the operator's policy says about
// that jurisdiction on a given day, and the fence that refuses every datagram which the answer does not cover.
//
// It holds facts (Law, Catalogue, Atlas), the judgement over them (Policy, Snapshot.Judge) and the last wall before the
// wire (Fence, Pass). Everything is immutable once built and is swapped whole, so a reader never sees half a policy. The zero
// Verdict is Deny, the zero Grant has expired, the zero Pass opens nothing.
//
// A Clearance is no second wall but a cheaper window in the same one: what a Pass answered, kept where no pointer may be kept and asked for each packet. It is
// made by a Pass alone, dies with the snapshot and at the moment that the answer rested on, and then the Pass is asked again.
//
// A Snapshot travels to a process with a fence of its own in one binary form; the copy rules alike or is refused.
//
// It imports the standard library, internal/jcs and internal/octets alone, and of the standard library nothing that touches files, processes
// or chance: facts come in as bytes and time comes in as a parameter of the question.
package sovereign
