// Package incident is the book of ICT-related incidents: it follows the audit log with a cursor, opens an incident where a rule finds one, keeps the clocks of
// reporting running and computes what a supervisor asks for. DORA Art. 17 to 20.
//
// It holds no truth of its own. An incident is what the entries about it say: opening, classifying, reporting and closing are entries, the book is folded from
// them, and a book that is lost is read again from the log. It computes; the financial entity classifies. A drill or a synthetic call is no incident: those are
// unplanned (DORA Art. 3(8)). It imports audit, audit/report, notify (for its cursor) and state.
package incident
