// Package report is what the log means to a supervisor: the clocks of incident reporting under DORA, the downtime that makes an
// incident a major one, and the residency summary over receipts. It computes and names; the financial entity classifies and decides.
// It reads entries and writes nothing. It imports audit, and the pages that people read.
package report
