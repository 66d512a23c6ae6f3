package sip

import (
	"context"
	"math"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media"
)

// noMedia is why a call is ended whose media is dead: ITU-T Q.850 cause 41, a temporary failure that another attempt may not meet.
var noMedia = reason{"Q.850", 41, "media is dead"}

// followed lets media tell of sides of an answered call that fall silent.
func (c *call) followed() {
	if s := c.media.Load(); s != nil {
		s.Answered()
	}
}

// MediaHeard logs a side that fell silent, went unheard, died or came back, and then ends the call if that is what its party wants of a dead one. It is
// media.Config.Heard; it does not block.
func (e *Edge) MediaHeard(session string, m media.Liveness) {
	if c := e.live.of(session); c != nil {
		c.sh.loop.Post(func() { c.heardOf(m) })
	}
}

// heardOf runs on the loop. A call that has ended meanwhile tells its silence in its records.
func (c *call) heardOf(m media.Liveness) {
	l := c.a
	if m.Side == media.B {
		l = c.b
	}
	ref := c.ref.Load()
	if c.ended || !c.answered || l == nil || ref == nil {
		return
	}
	l.dead = m.State == media.StateDead
	ends := l.dead && l.party.EndDead && !c.emergency()
	ev := audit.MediaSilent{
		CallRef: *ref, T: m.At, Leg: sideName(m.Side), Party: l.party.Name, State: m.State, Was: m.Was, ForMS: ms(m.For), Held: m.Held, Ends: ends,
	}
	if m.State != media.StateAlive {
		l.drilled = c.drilledSilence(l, m)
	}
	if ev.Drill = l.drilled; ev.Drill != "" {
		ev.Member = memberOf(l.target)
	}
	if m.State == media.StateAlive {
		l.drilled = ""
	}
	e, session := c.sh.e, c.session()
	e.off(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(e.base), finality)
		defer cancel()
		if _, err := e.c.Log.Append(ctx, ev); err != nil {
			e.log.Warn("a silence of media could not be logged", "call", ev.CallRef, "session", session, "error", err)
		}
		if ends {
			c.sh.loop.Post(func() { c.buried(l) })
		}
	})
}

// drilledSilence is what a drill does if that is why a leg is silent, or dead. A leg that goes unheard gets nothing from the other side, which may be the one that is taken away.
func (c *call) drilledSilence(l *leg, m media.Liveness) string {
	began := m.At.Add(-m.For)
	what := l.silenced(began)
	if what != "" || m.State != media.StateUnheard {
		return what
	}
	other := c.a
	if l == c.a {
		other = c.b
	}
	if other == nil {
		return ""
	}
	return other.silenced(began)
}

// buried ends a call whose leg is dead, unless that leg came back meanwhile, or left the call by a transfer.
func (c *call) buried(l *leg) {
	if l.dead && (l == c.a || l == c.b) {
		c.hangup(byEdge, noMedia)
	}
}

// legQuality is what media knows of one side, in the words of records.
func legQuality(name string, m *media.SideReport) audit.LegQuality {
	q := &m.Quality
	out := audit.LegQuality{
		Leg: name, Packets: m.RxPackets, Lost: m.Lost, JitterMS: ms(m.Jitter), MOS: m.MOS,
		MOSMin: hundredths(q.MOSMin), MOSMean: hundredths(q.MOSMean), Windows: q.Windows, Poor: q.Poor, LossPct: hundredths(100 * q.Loss), FarLossPct: hundredths(100 * q.FarLoss), FarMOS: q.FarMOS,
		JitterMaxMS: ms(q.JitterMax), RTTMS: ms(m.RTT), SilenceS: hundredths(float64(q.Silence) / float64(time.Second)),
	}
	out.FaxPackets, out.FaxBytes, out.FaxSent = m.Fax.RxPackets, m.Fax.RxBytes, m.Fax.TxPackets
	out.DigitsIn, out.DigitsOut = m.DigitsIn, m.DigitsOut
	if q.State != media.StateAlive {
		out.Liveness = q.State
	}
	return out
}

func hundredths(v float64) float64 { return math.Round(v*100) / 100 }
