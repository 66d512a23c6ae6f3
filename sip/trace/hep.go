package trace

import (
	"context"
	"encoding/binary"
	"io"
	"net/netip"
	"time"
)

// HEP3, the encapsulation that Homer collects: "HEP3", the length of all in two bytes, then chunks of vendor, type, length and value, big-endian.
// https://github.com/sipcapture/HEP, revision 11: generic chunk types.
const (
	chunkFamily      = 1 // 2: IPv4, 10: IPv6
	chunkProtocol    = 2 // of IP: 17 UDP, 6 TCP
	chunkFrom4       = 3
	chunkTo4         = 4
	chunkFrom6       = 5
	chunkTo6         = 6
	chunkFromPort    = 7
	chunkToPort      = 8
	chunkSeconds     = 9
	chunkMicros      = 10
	chunkKind        = 11 // 1: SIP
	chunkAgent       = 12
	chunkKey         = 14
	chunkPayload     = 15
	chunkCorrelation = 17
)

// maxHEP is the longest packet that its length field can say, and that UDP carries.
const maxHEP = 65507

// HEP writes one message as a HEP3 packet; nil when it is too long for one. agent is the capture id of this node, ref what joins the legs of a call.
func HEP(e Event, ref string, agent uint32, password string) []byte {
	from, to := e.Remote, e.Local
	if e.Out {
		from, to = to, from
	}
	from, to = plain(from), plain(to)
	b := append(make([]byte, 0, len(e.Text)+160), "HEP3\x00\x00"...)
	chunk := func(kind uint16, v ...byte) {
		b = binary.BigEndian.AppendUint16(append(b, 0, 0), kind) // vendor 0: generic
		b = append(binary.BigEndian.AppendUint16(b, uint16(6+len(v))), v...)
	}
	short := func(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
	long := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	if len(e.Text)+len(ref)+len(password)+160 > maxHEP {
		return nil
	}
	protocol := byte(6)
	if e.Proto == "udp" {
		protocol = 17
	}
	if from.Addr().Is4() && to.Addr().Is4() {
		chunk(chunkFamily, 2)
		chunk(chunkProtocol, protocol)
		chunk(chunkFrom4, from.Addr().AsSlice()...)
		chunk(chunkTo4, to.Addr().AsSlice()...)
	} else {
		a, z := from.Addr().As16(), to.Addr().As16()
		chunk(chunkFamily, 10)
		chunk(chunkProtocol, protocol)
		chunk(chunkFrom6, a[:]...)
		chunk(chunkTo6, z[:]...)
	}
	chunk(chunkFromPort, short(from.Port())...)
	chunk(chunkToPort, short(to.Port())...)
	chunk(chunkSeconds, long(uint32(e.At.Unix()))...)
	chunk(chunkMicros, long(uint32(e.At.Nanosecond()/1000))...)
	chunk(chunkKind, 1)
	chunk(chunkAgent, long(agent)...)
	if password != "" {
		chunk(chunkKey, []byte(password)...)
	}
	chunk(chunkPayload, []byte(e.Text)...)
	chunk(chunkCorrelation, []byte(ref)...)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	return b
}

func plain(a netip.AddrPort) netip.AddrPort {
	if !a.Addr().IsValid() {
		return netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port())
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Collector is where copies of messages go.
type Collector struct {
	Agent    uint32
	Password func() (string, error) // nil: none; read at each socket
	// Stream says that Dial gives connections: one is kept until it breaks, and what it broke at is sent again over the next. Else Dial gives sockets of datagrams.
	Stream bool
	// Dial opens a socket to the collector, or says by Fenced that it may not be reached. It is the only way out. A write must not take long.
	Dial    func(ctx context.Context) (io.WriteCloser, error)
	Fenced  func(error) bool
	Metrics *Metrics

	queue chan letter
}

type letter struct {
	e   Event
	ref string
}

// Times of a collector's socket: one of datagrams is opened anew each minute, so that the law is asked anew (a connection that loses its pass is closed). After
// a failure none is opened before a pause; a connection that had lasted for one is replaced at once.
const (
	socketFor   = time.Minute
	socketPause = 5 * time.Second
	socketIn    = 2 * time.Second
)

// NewCollector makes the bounded queue and starts nothing.
func NewCollector(c Collector) *Collector {
	c.queue = make(chan letter, 1024)
	return &c
}

// Export queues one message, or counts it as dropped.
func (c *Collector) Export(e Event, ref string) {
	select {
	case c.queue <- letter{e, ref}:
	default:
		c.Metrics.drop("queue")
	}
}

// Run sends until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	var s socket
	defer func() { s.close() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case l := <-c.queue:
			if why := c.insist(ctx, &s, l); why != "" {
				c.Metrics.drop(why)
			} else {
				c.Metrics.sent()
			}
		}
	}
}

// socket is the way to the collector as it is now. Only Run has it.
type socket struct {
	conn     io.WriteCloser
	password string
	opened   time.Time
	until    time.Time // of the socket, or of the pause after a failure
	why      string    // there is none
}

func (s *socket) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

// insist sends, and over a stream it sends again until a connection takes it: the queue bounds what waits behind it. A way that the law closes is not waited for.
func (c *Collector) insist(ctx context.Context, s *socket, l letter) (why string) {
	for {
		why = c.send(ctx, s, l)
		if !c.Stream || why != "failed" || s.conn != nil {
			return why
		}
		select {
		case <-ctx.Done():
			return why
		case <-time.After(time.Until(s.until)):
		}
	}
}

func (c *Collector) send(ctx context.Context, s *socket, l letter) (why string) {
	if over := !time.Now().Before(s.until); over && (s.conn == nil || !c.Stream) {
		s.close()
		c.open(ctx, s)
	}
	if s.conn == nil {
		return s.why
	}
	b := HEP(l.e, l.ref, c.Agent, s.password)
	if b == nil {
		return "failed"
	}
	if _, err := s.conn.Write(b); err != nil {
		s.close()
		s.why, s.until = c.reason(err), time.Now().Add(socketPause)
		if c.Stream {
			s.until = s.opened.Add(socketPause)
		}
		return s.why
	}
	return ""
}

func (c *Collector) open(ctx context.Context, s *socket) {
	s.until, s.why = time.Now().Add(socketPause), "failed"
	if c.Password != nil {
		p, err := c.Password()
		if err != nil {
			return
		}
		s.password = p
	}
	ctx, cancel := context.WithTimeout(ctx, socketIn)
	defer cancel()
	conn, err := c.Dial(ctx)
	if err != nil {
		s.why = c.reason(err)
		return
	}
	s.conn, s.opened, s.until = conn, time.Now(), time.Now().Add(socketFor)
}

func (c *Collector) reason(err error) string {
	if c.Fenced != nil && c.Fenced(err) {
		return "fenced"
	}
	return "failed"
}
