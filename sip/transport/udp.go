package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// maxDatagram is what one UDP datagram can carry.
const maxDatagram = 65535

// backlog is the room for datagrams that wait to be read: some thousand messages, or what comes within a pause of half a second at 5,000 a second.
const backlog = 4 << 20

// udpSocket is one UDP listener. It has one goroutine and one buffer, and keeps nothing about a source that the Screen does not know.
type udpSocket struct {
	l       *Layer
	pc      *sovereign.PacketConn
	bound   netip.AddrPort
	local   netip.AddrPort // advertised
	replies *replies       // of the read loop
}

// run reads until ctx ends. A socket that was closed under it is an error.
func (s *udpSocket) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.pc.SetReadDeadline(time.Unix(1, 0)) }) // the hall closes the socket, not we
	defer stop()
	buf, r := make([]byte, maxDatagram), newReader()
	for errs := 0; ; {
		n, from, err := s.pc.Read(buf)
		switch {
		case err == nil:
			errs = 0
			s.datagram(r, buf[:n], plain(from))
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("transport: read %s: %w", s.bound, err)
		}
		// A pending ICMP error woke the read; it says nothing about the socket.
		s.drain()
		if errs++; errs > 64 {
			select { // an error that stays must not spin
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

// overflows counts, once a second, what the system dropped because nobody read it in time.
func (s *udpSocket) overflows(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	dropped := s.l.m.dropped.WithLabelValues(string(UDP), "overflow")
	for last := uint64(0); ; {
		if n, ok := s.pc.Overflowed(); ok {
			dropped.Add(float64(uint32(n - last))) // the system counts modulo 2**32
			last = n
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *udpSocket) datagram(r *reader, b []byte, from netip.AddrPort) {
	l := s.l
	if len(b) == 0 || b[0] <= '\r' && len(bytes.Trim(b, "\r\n\x00")) == 0 {
		return // keepalive, RFC 5626 section 3.5.1 knows none by CRLF over UDP but many send it
	}
	a := l.c.Screen.Source(UDP, from, s.local, nil)
	if a.Look == Refused {
		l.m.dropped.WithLabelValues(string(UDP), "source").Inc()
		return
	}
	f := s.replies.flow(a, from, l.generation(), func() *flow {
		return l.judged(a, from, flow{l: l, key: s.key(from), sock: s})
	})
	at := time.Now()
	msg, fault := r.datagram(b)
	l.tap(false, f, at, r.head.callID(), b)
	if fault == nil && len(msg.Body()) > l.c.MaxBody {
		fault = &Fault{Status: 413, Reason: "Request Entity Too Large"}
	}
	if fault != nil {
		l.refuse(&r.head, fault, f, a, func(b []byte) error { return s.send(Flow{f}, b) })
		return
	}
	l.deliver(msg, f, a, from, at)
}

func (s *udpSocket) key(remote netip.AddrPort) Key {
	return Key{Proto: UDP, Local: s.local, Remote: remote}
}

// send writes one datagram. When an ICMP error of an earlier one is pending the system reports that instead of sending: it is drained, and the write is done
// again.
func (s *udpSocket) send(f Flow, msg []byte) error {
	for try := 0; ; try++ {
		_, err := s.pc.Write(msg, f.f.pass)
		if err == nil {
			s.l.tap(true, f.f, time.Now(), "", msg)
			return nil
		}
		if errors.Is(err, sovereign.ErrFenced) || errors.Is(err, net.ErrClosed) || try == 2 || !pendingError(err) {
			return fmt.Errorf("transport: send to %s: %w", f.Remote(), classify(err, ErrGone))
		}
		s.drain()
	}
}

func pendingError(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) ||
		errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPROTO) || errors.Is(err, syscall.ENOPROTOOPT)
}

// drain tells of every destination from which an ICMP error came. The bound keeps a flood of them from holding a sender up.
func (s *udpSocket) drain() {
	for range 1024 {
		to, err, ok := s.pc.ReadError()
		if !ok {
			return
		}
		if errors.Is(err, syscall.EMSGSIZE) {
			continue // the path MTU shrank: the system knows it now and fragments the retransmission
		}
		s.l.lost(&flow{l: s.l, key: s.key(plain(to))}, classify(err, ErrUnreachable))
	}
}
