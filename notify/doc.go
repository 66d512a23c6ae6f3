// Package notify tells people: it follows the audit log with a cursor and carries what matters to consoles, webhooks, PagerDuty, Slack,
// collectors of syslog and mailboxes.
//
// Every notice is delivered at least once, with the entry's id as the idempotency key, or its failure is on record; a crash neither forgets nor
// invents one. Notices carry no personal data: each kind of entry has a list of fields that may leave, and nothing else does.
// It imports audit, sovereign, state and internal/impair.
package notify
