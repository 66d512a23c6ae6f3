package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/cordonsip/cordon/sovereign"
)

// What goes wrong with a flow. Handler.Lost, Send and Warm wrap one of these, or sovereign.ErrFenced.
var (
	ErrRefused        = errors.New("connection refused")      // ICMP port unreachable, or RST to a SYN
	ErrUnreachable    = errors.New("destination unreachable") // no route, host or network unreachable, prohibited
	ErrConnectTimeout = errors.New("connect timed out")       // dial and handshake took longer than Connect
	ErrTLS            = errors.New("TLS failed")              // handshake or verification
	ErrGone           = errors.New("connection gone")         // closed or reset by the peer, or idle
	ErrStalled        = errors.New("peer does not read")      // the write queue is full or a write timed out
	ErrClosed         = errors.New("transport not running")
)

// wrap gives err the sentinel that tells its kind, keeping the cause.
func wrap(kind, err error) error {
	if err == nil || errors.Is(err, kind) {
		return fmt.Errorf("transport: %w", kind)
	}
	return fmt.Errorf("transport: %w: %w", kind, err)
}

// classify names what a dial, a write or the error queue gave; other is the kind of what it doesn't know.
func classify(err, other error) error {
	switch {
	case errors.Is(err, sovereign.ErrFenced):
		return fmt.Errorf("transport: %w", err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return wrap(ErrRefused, err)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM),
		errors.Is(err, syscall.ENETDOWN), errors.Is(err, syscall.EHOSTDOWN), errors.Is(err, syscall.EADDRNOTAVAIL):
		return wrap(ErrUnreachable, err)
	}
	return wrap(other, err)
}

// Refusal is what a closed door gives, and Misidentified a handshake with who is not the one that was called: for what is to fail like that without being tried.
func Refusal() error { return wrap(ErrRefused, ErrRefused) }

// Misidentified is documented with Refusal.
func Misidentified() error {
	return fmt.Errorf("transport: %w: %w", ErrTLS, errors.New("the peer's certificate does not name it"))
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}

// cause is the word for err in a metric label.
func cause(err error) string {
	for _, k := range []struct {
		err  error
		word string
	}{
		{ErrRefused, "refused"},
		{ErrUnreachable, "unreachable"},
		{ErrConnectTimeout, "timeout"},
		{ErrTLS, "tls"},
		{ErrStalled, "stalled"},
		{sovereign.ErrFenced, "fenced"},
	} {
		if errors.Is(err, k.err) {
			return k.word
		}
	}
	return "gone"
}
