// Package desk is what people decided about service: administrative states of trunks, edge groups, targets and regions, routes that were switched by hand, and
// shares of a route that are being migrated.
//
// The log is the truth: a decision is an entry under a signed checkpoint before it takes effect, and a restart reads the entries again. The store is a shortcut to
// them. Calls read one immutable Book. It imports audit.
package desk
