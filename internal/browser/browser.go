// Package browser is a far end as browsers are, in one process, for tests: it checks by ICE, makes keys by DTLS-SRTP, and sends and counts audio.
//
// It imports media/ice, media/dtls and media/srtp, for what is spoken and no more, and sovereign for the form of a socket.
package browser
