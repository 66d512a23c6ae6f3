package cordon

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sip/trace"
	"github.com/cordonsip/cordon/sovereign"
)

// buildTrace makes the memory of calls on the wire, and the way to a HEP collector.
func (n *Node) buildTrace(context.Context) error {
	c := n.opts.Config
	m, err := trace.NewMetrics(n.opts.Metrics)
	if err != nil || c.Trace.Off {
		return err
	}
	book := trace.Config{
		Calls: c.Trace.Calls, Messages: c.Trace.Messages, Bytes: c.Trace.Bytes, Keep: c.Trace.Keep, Open: c.Trace.Open, Metrics: m,
	}
	if c.HEP.Address.IsValid() {
		n.collector = trace.NewCollector(trace.Collector{
			Agent: c.HEP.Agent, Password: c.HEP.Password, Stream: c.HEP.TCP, Dial: n.dialCollector, Metrics: m,
			Fenced: func(err error) bool { return errors.Is(err, sovereign.ErrFenced) },
		})
		book.Export = n.collector.Export
	}
	n.book = trace.New(book)
	return nil
}

// dialCollector opens a fenced socket to the HEP collector. Its address is judged now, and by the socket at each write.
func (n *Node) dialCollector(ctx context.Context) (io.WriteCloser, error) {
	hep := n.cfg.Load().HEP
	if hep.TCP {
		c, err := n.dialStream(ctx, hep.Address, "collector")
		if err != nil {
			return nil, err
		}
		return newMonologue(c), nil
	}
	c, err := n.dialDatagram(ctx, hep.Address, "collector")
	if err != nil {
		return nil, err
	}
	return c, nil
}

// monologue is a connection that is only written to. Reading shows that the far end closed it: the next write fails then, where it would have been lost.
type monologue struct {
	net.Conn
	over chan struct{}
}

// monologueWrite is how long a far end that does not read is waited for.
const monologueWrite = 2 * time.Second

func newMonologue(c net.Conn) *monologue {
	m := &monologue{c, make(chan struct{})}
	go func() {
		defer close(m.over)
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}()
	return m
}

func (m *monologue) Write(b []byte) (int, error) {
	_ = m.SetWriteDeadline(time.Now().Add(monologueWrite))
	return m.Conn.Write(b)
}

// Close waits for the reader.
func (m *monologue) Close() error {
	err := m.Conn.Close()
	<-m.over
	return err
}

// tracer shows calls at the door.
type tracer struct{ n *Node }

func (t tracer) Find(key string, since int) (trace.Trace, bool) { return t.n.book.Find(key, since) }

func (t tracer) Told(ctx context.Context, r audit.TraceRead, by string) error {
	r.By = t.n.pseudonym(by)
	_, err := t.n.log.Commit(ctx, r)
	return err
}

// maxHeaders bounds what one watching takes: four streams of 50 packets a second for the longest time, three times over.
const maxHeaders = 30_000

// Media takes the headers of a call's packets. The sockets' goroutines hand them over under a lock that is held for a copy.
func (t tracer) Media(ctx context.Context, id string, d time.Duration) ([]trace.RTP, error) {
	var mu sync.Mutex
	var out []trace.RTP
	stop, ok := t.n.relay.Watch(id, func(h media.Header) {
		mu.Lock()
		defer mu.Unlock()
		if len(out) < maxHeaders {
			out = append(out, trace.RTP{At: h.At, From: h.From, To: h.To, Header: slices.Clone(h.Bytes), Size: h.Size})
		}
	})
	if !ok {
		return nil, admin.ErrNoMedia
	}
	defer stop()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	stop()
	mu.Lock()
	defer mu.Unlock()
	return slices.Clone(out), nil
}
