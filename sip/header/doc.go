// Package header is what SIP header values mean where two legs of a call meet: reasons and causes, session identifiers, identities and privacy, diversions,
// user-to-user data, PASSporTs, further body parts, and what of the other side's names must not show in any of them.
//
// It has pure functions on strings alone: no message, no address that is dialled, no clock. It imports the standard library only.
package header

// MaxValues bounds how many values of one header are read: nobody needs more, and a message of a stranger may hold thousands.
const MaxValues = 32
