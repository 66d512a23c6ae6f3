// Package register is the book of drills as the log tells it: who asked for which, who agreed, how far it came, how it ended, what it found wanting, and when the next one
// is due.
//
// It is pure: a Book is a function of the log's entries, so that a node after a crash, a report and an auditor have the same one. It imports audit.
package register
