package configs

import (
	"math"
	"net/netip"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// Trace is the memory of what calls looked like on the wire.
type Trace struct {
	// Remembers nothing: cordon trace finds no call, and a HEP collector gets nothing.
	Off bool `yaml:"off,omitempty"`
	// Calls that are remembered, live and ended; default 1000.
	Calls int `yaml:"calls,omitempty"`
	// Messages and notes of one call, at least 8; default 64. A quarter is of its beginning, the rest are the last.
	Messages int `yaml:"messages,omitempty"`
	// Text of all messages together, e.g. 32MiB (default).
	Bytes string `yaml:"bytes,omitempty"`
	// How long an ended call is remembered; default 15m.
	Keep Duration `yaml:"keep,omitempty"`
	// Shows and sends numbers, names and users of people in clear. Keys, digest answers and content stay masked.
	Unmasked bool `yaml:"unmasked,omitempty"`
}

// HEP is a collector of SIP messages, such as Homer.
type HEP struct {
	// Literal address and port; it must lie in a permitted place.
	Address string `yaml:"address"`
	// udp (default), or tcp: over a connection that is opened again when it breaks, nothing is lost but what the queue does not hold meanwhile.
	Transport string `yaml:"transport,omitempty"`
	// Number of this node at the collector.
	CaptureID uint32 `yaml:"capture_id,omitempty"`
	// What the collector asks for, by reference. It travels in clear.
	Password Secret `yaml:"password,omitempty"`
}

// TracePart is the book's share.
type TracePart struct {
	Off, Open              bool
	Calls, Messages, Bytes int
	Keep                   time.Duration
}

// HEPPart is the collector's share; without an address there is none.
type HEPPart struct {
	Address  netip.AddrPort
	TCP      bool
	Agent    uint32
	Password func() (string, error) // nil: none
}

func (b *builder) trace(c *Config) {
	t := b.doc.file.Trace
	c.Trace = TracePart{Off: t.Off, Open: t.Unmasked, Calls: t.Calls, Messages: t.Messages, Keep: time.Duration(t.Keep)}
	if t.Calls < 0 || t.Calls > 1_000_000 {
		b.fail("trace.calls", "a positive number up to 1000000, or leave it out for the default; off: true remembers nothing", "%d is out of range", t.Calls)
	}
	if t.Messages != 0 && (t.Messages < 8 || t.Messages > 10_000) {
		b.fail("trace.messages", "8 to 10000, or leave it out for the default", "%d is out of range", t.Messages)
	}
	if t.Keep < 0 || time.Duration(t.Keep) > 24*time.Hour {
		b.fail("trace.keep", "at most 24h: what is to be kept for longer belongs into the log, as a receipt", "%s is out of range", time.Duration(t.Keep))
	}
	if t.Bytes != "" {
		n, err := parseBytes(t.Bytes)
		if err != nil || n < 64<<10 || n > math.MaxInt32 {
			b.fail("trace.bytes", "at least 64KiB, e.g. 32MiB", "%q is no size", t.Bytes)
		}
		c.Trace.Bytes = int(n)
	}
	if t.Unmasked && !t.Off {
		b.warn("trace.unmasked", "leave it out: who looks at traces and what a collector keeps then holds no personal data (GDPR Art. 5(1)(c))",
			"traces, capture files and HEP packets show numbers and names of people in clear")
	}
	b.hep(c)
}

func (b *builder) hep(c *Config) {
	h := b.doc.file.HEP
	if h == nil {
		return
	}
	c.HEP = HEPPart{Address: b.addrPort("hep.address", h.Address), TCP: b.oneOf("hep.transport", h.Transport, "udp", "tcp") == "tcp", Agent: h.CaptureID}
	switch {
	case h.Address == "":
		b.fail("hep.address", "e.g. 192.0.2.20:9060", "is missing")
	case c.HEP.Address.IsValid() && c.HEP.Address.Port() == 0:
		b.fail("hep.address", "e.g. 192.0.2.20:9060", "has no port")
	case c.Trace.Off:
		b.fail("hep", "take trace.off away, or hep", "nothing is remembered, so nothing can be sent")
	}
	if !h.Password.IsZero() {
		s := h.Password
		s.File = b.path(s.File)
		c.HEP.Password = s.Value
	}
}

// collectorPlace warns of a collector that the fence will refuse: the node runs, and not a datagram leaves for it.
func (b *builder) collectorPlace(c *Config, s *sovereign.Snapshot) {
	if !c.HEP.Address.IsValid() {
		return
	}
	if r := s.Judge(sovereign.Ask{Plane: sovereign.Infrastructure, Addr: c.HEP.Address, At: time.Now()}); !r.Permitted() {
		b.warn("hep.address", "declare its place, and let the policy permit it", "nothing will be sent there: %s (%s)", r.Verdict, r.Ground)
	}
}
