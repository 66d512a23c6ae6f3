package transaction

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/transport"
)

// BenchmarkWire writes a request of ours.
func BenchmarkWire(b *testing.B) {
	l := New(NewLoop(), nil, nil, Timers{})
	req := request(sip.INVITE)
	req.AppendHeader(&sip.ContactHeader{Address: sip.Uri{Scheme: "sip", Host: "192.0.2.1", Port: 5060}})
	req.AppendHeader(sip.NewHeader("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE"))
	req.AppendHeader(sip.NewHeader("Supported", "100rel, timer"))
	req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	req.SetBody([]byte(strings.Repeat("a=sendrecv\r\n", 20)))
	l.addVia(flowOf(transport.UDP), req, l.newBranch())
	b.ReportAllocs()
	for b.Loop() {
		l.wire(req)
	}
}

// pair is two layers on one loop that hear each other at once, and a user that answers every request with 200.
type pair struct {
	a, b *Layer
	done chan struct{}
}

func (p *pair) hear(l *Layer, raw []byte) error {
	msg, err := transport.Parse(raw)
	if err == nil {
		l.Receive(transport.Incoming{Msg: msg, Flow: flowOf(transport.UDP), Party: "carrier"})
	}
	return err
}

func (p *pair) Request(tx *Server, req *sip.Request, in transport.Incoming) {
	if tx != nil {
		_ = tx.Respond(tx.Response(200, ""))
	}
}
func (p *pair) Stray(res *sip.Response, in transport.Incoming) {}
func (p *pair) Response(c *Client, res *sip.Response)          { p.done <- struct{}{} }
func (p *pair) Failed(c *Client, err error)                    { p.done <- struct{}{} }

// BenchmarkRoundTrip is a request from its sender to its answerer and back: both transactions, both messages written and read, and their timers. The
// transactions linger for 64 ms.
func BenchmarkRoundTrip(b *testing.B) {
	for _, method := range []sip.RequestMethod{sip.INVITE, sip.BYE} {
		b.Run(string(method), func(b *testing.B) {
			loop := NewLoop()
			p := &pair{done: make(chan struct{}, 1)}
			t := Timers{T1: time.Millisecond, T4: 10 * time.Millisecond}
			p.a = New(loop, func(_ transport.Flow, raw []byte) error { return p.hear(p.b, raw) }, p, t)
			p.b = New(loop, func(_ transport.Flow, raw []byte) error { return p.hear(p.a, raw) }, p, t)
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); _ = loop.Run(ctx) }()
			f := flowOf(transport.UDP)
			start := func() { p.a.Request(f, request(method), p) }
			b.ReportAllocs()
			for b.Loop() {
				loop.Post(start)
				<-p.done
			}
			cancel()
			<-ended
		})
	}
}
