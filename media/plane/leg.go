package plane

// leg is a slot with what lies beside it, as one packet or one command sees it.
type leg struct {
	*slot
	*beside
	number uint32
}

// beside is what is needed of a leg seldom, or has pointers.
type beside struct {
	open     Open
	pair     *pair
	six      bool
	theirs   *inbound    // key in use of what comes; nil before the first
	ours     *outbound   // of what goes
	ins      []*inbound  // the last keys of the far end, so that a key that comes back finds its rollover counter
	outs     []*outbound // one per key of ours, for as long as the leg lives: its indexes are never used twice
	clocks   [8]Clock    // the first ones, as many as
	timed    uint8       // says, and
	moment   uint8       // of the grid at which it plays, counted from 1; 0: it plays nothing
	further  []Clock
	sources  []source // but for the one in use
	turn     uint64
	ration   float64       // of new sources, where nothing authenticates them
	rationed int64         // unix ns
	towers   [2]watchtower // of RTP and of RTCP
	passed   *sentReports  // nil before the first
	got      gotReport     // of the far end
	reporting
	cname    string   // under which our reports go to the far end; made when it is first needed
	web      *web     // nil where all that comes is RTP and RTCP
	dials    *dialled // the telephone event that comes; nil: events go on
	keypad   *keypad  // those that go; nil before the first
	tones    []Tone
	impaired *impaired // what a drill takes away; nil: nothing
	floor    uint32    // where our SRTCP begins under each key: above what another plane used for the leg; 0: there was none
}

func (l *leg) ref() Ref { return Ref{l.number, l.serial} }

func (l *leg) tower(ln *lane) *watchtower {
	if ln == &l.rtcp {
		return &l.towers[1]
	}
	return &l.towers[0]
}

// known keeps the clocks.
func (o *beside) known(clocks []Clock) {
	o.timed = uint8(copy(o.clocks[:], clocks))
	o.further = append(o.further[:0], clocks[o.timed:]...)
}

// clock of a payload type; zero when it is not known.
func (o *beside) clock(pt uint8) Clock {
	for _, known := range [2][]Clock{o.clocks[:o.timed], o.further} {
		for i := range known {
			if known[i].PT == pt {
				return known[i]
			}
		}
	}
	return Clock{}
}

// rename gives an RTP packet the payload type of the side to which it goes. Marker, time stamp and payload stay: events of RFC 4733 keep their durations.
func (o *beside) rename(b []byte) {
	if c := o.clock(b[1] & 0x7f); c.Moves {
		b[1] = b[1]&0x80 | c.To&0x7f
	}
}

// leg gives the leg in a slot; false when there is none.
func (w *worker) leg(number uint32) (leg, bool) {
	s, o := w.at(number / w.every)
	return leg{s, o, number}, number != 0 && s != nil && s.serial != 0
}

// of gives the leg that a command is for; false when it is gone, or is what another plane left and nobody opened here.
func (w *worker) of(r Ref) (leg, bool) {
	l, ok := w.leg(r.Slot)
	return l, ok && l.serial == r.Serial && l.pair != nil
}

// Open implements Commands.
func (p *Plane) Open(o Open) {
	if o.Slot == 0 || o.Serial == 0 {
		return
	}
	w := p.worker(o.Slot)
	pr := p.pair(o.Pair)
	if pr != nil {
		pr.begin()
	}
	w.lock()
	defer w.mu.Unlock()
	s, b := w.make(o.Slot / w.every)
	if s == nil || pr == nil || w.paired(o.Pair) != pr {
		p.cfg.Logger.Error("plane: no slot or no sockets for a leg", "session", o.Session, "slot", o.Slot, "pair", o.Pair)
		return
	}
	if b.pair != nil {
		w.end(&leg{s, b, o.Slot})
	}
	if l, ok := w.leg(w.owner(pr)); ok && l.pair == pr {
		w.end(&l)
	}
	resumed, floor := s.serial == o.Serial, uint32(0)
	if !resumed {
		*s = slot{serial: o.Serial}
	} else {
		s.outRTCP += rtcpLeap
		floor = s.outRTCP
	}
	s.flags, s.other, s.fds = 0, 0, pr.fds
	*b = beside{open: o, pair: pr, six: pr.six, floor: floor, sources: b.sources[:0]}
	w.owns[o.Pair/w.every].leg = o.Slot
	if !resumed { // what came while no plane was there is the leg's
		w.drop(pr)
	}
}

// Set implements Commands.
func (p *Plane) Set(n Set) {
	w := p.worker(n.Slot)
	w.lock()
	defer w.mu.Unlock()
	l, ok := w.of(n.Ref)
	if !ok {
		return
	}
	flags := l.flags&(flagWatched|flagImpaired) | w.attend(&l, n)
	if !n.Wait {
		flags |= flagLive
	}
	if n.Wants {
		flags |= flagWants
	}
	if n.Mux && !n.Opaque {
		flags |= flagMux
	}
	if n.Opaque {
		if n.In.Suite != 0 || n.Out.Suite != 0 {
			p.refuse(&l)
			return
		}
		flags |= flagOpaque
	}
	if n.In.Suite != 0 {
		if !l.opens(n.In) {
			p.refuse(&l)
			return
		}
		flags |= flagOpens
	}
	if n.Out.Suite != 0 {
		if !l.seals(n.Out) {
			p.refuse(&l)
			return
		}
		flags |= flagSeals
	}
	if !n.Opaque && w.reports(&l, n.Reports) {
		flags |= flagReports
	}
	l.known(n.Clocks)
	for _, c := range n.Clocks {
		if c.Moves {
			flags |= flagRenames
		}
	}
	if l.flags = flags | l.keyed(&n); flags&flagOpens == 0 {
		l.furnish()
	}
	if n.Opaque {
		w.stop(&l)
	}
	if !n.RTP.Stay {
		w.aim(&l, &l.rtp, n.RTP)
	} else if l.web != nil {
		w.goOn(&l, n.RTP.Began)
	}
	if !n.RTCP.Stay {
		w.aim(&l, &l.rtcp, n.RTCP)
	}
}

// refuse leaves a leg mute whose keys cannot be used: its giver checked them.
func (p *Plane) refuse(l *leg) {
	l.flags &^= flagLive
	p.cfg.Logger.Error("plane: a key that is none, or that is for something else than RTP", "session", l.open.Session)
}

// opens puts the key of the far end in use.
func (l *leg) opens(k Key) bool {
	if l.theirs != nil && l.theirs.key.Same(k) {
		return true
	}
	var next *inbound
	for _, in := range l.ins {
		if in.key.Same(k) {
			next = in
		}
	}
	if next == nil {
		ctx, err := newContext(k)
		if err != nil {
			return false
		}
		next = &inbound{key: k.own(), ctx: ctx}
		if l.ins = append(l.ins, next); len(l.ins) > maxKeys {
			l.ins[0].forget()
			l.ins = append(l.ins[:0], l.ins[1:]...)
		}
	}
	if l.theirs != nil {
		if l.in.on {
			l.theirs.rtp = append(l.theirs.rtp, l.in)
		}
		if l.inRTCP.on {
			l.theirs.rtcp = append(l.theirs.rtcp, l.inRTCP)
		}
	}
	mark := k.mark()
	if l.theirs != nil || l.inKey != mark { // else another plane heard the stream under this key
		l.in, l.inRTCP, l.left = stream{}, stream{}, marks{}
		for i := range next.rtp {
			l.left.put(&next.rtp[i], false)
		}
		for i := range next.rtcp {
			l.left.put(&next.rtcp[i], true)
		}
	}
	l.theirs, l.inKey = next, mark
	return true
}

func (in *inbound) forget() {
	in.key.forget()
	in.ctx.Wipe()
}

// seals puts our key in use.
func (l *leg) seals(k Key) bool {
	if l.ours != nil && l.ours.key.Same(k) {
		return true
	}
	var next *outbound
	for _, out := range l.outs {
		if out.key.Same(k) {
			next = out
		}
	}
	if next == nil {
		ctx, err := newContext(k)
		if err != nil {
			return false
		}
		// Another plane may have sent under any key of the leg.
		next = &outbound{key: k.own(), ctx: ctx, rtcp: l.floor, lost: l.floor > 0}
		l.outs = append(l.outs, next)
	}
	mark := k.mark()
	switch {
	case l.ours != nil:
		if l.out.on {
			l.ours.rest(l.out)
		}
		l.ours.rtcp, l.outRTCP = l.outRTCP, next.rtcp
		l.out = sending{}
	case l.outKey != mark:
		l.out = sending{}
	case l.out.on: // of the plane before this one
		next.names = append(next.names, l.out.alias)
	}
	l.ours, l.outKey = next, mark
	return true
}

// Mute implements Commands.
func (p *Plane) Mute(r Ref) { p.mute(r, false) }

// Silence implements Commands.
func (p *Plane) Silence(r Ref) { p.mute(r, true) }

func (p *Plane) mute(r Ref, nowhere bool) {
	w := p.worker(r.Slot)
	w.lock()
	defer w.mu.Unlock()
	l, ok := w.of(r)
	if !ok {
		return
	}
	l.flags &^= flagLive
	w.stop(&l)
	if nowhere {
		l.flags &^= flagAside
		l.web = nil
		w.aim(&l, &l.rtp, Aim{})
		w.aim(&l, &l.rtcp, Aim{})
	}
}

// Join implements Commands. A leg that was joined to one of the two before is joined to nobody.
func (p *Plane) Join(a, b Ref) {
	w := p.worker(max(a.Slot, b.Slot))
	w.lock()
	defer w.mu.Unlock()
	for _, r := range [2]Ref{a, b} {
		if l, ok := w.of(r); ok {
			w.part(&l)
			w.stop(&l)
		}
	}
	la, okA := w.of(a)
	lb, okB := w.of(b)
	if okA && okB {
		la.other, lb.other = b.Slot, a.Slot
		w.await(&la, &lb)
		w.await(&lb, &la)
	}
}

// part ends what a leg is joined to. What is passed on to another one begins anew.
func (w *worker) part(l *leg) {
	if l.other == 0 {
		return
	}
	if o, ok := w.leg(l.other); ok && o.other == l.number {
		o.other = 0
		o.unpassed()
	}
	l.other = 0
	l.unpassed()
}

// Close implements Commands. When it returns nothing of the leg runs; its counters can be read until its slot has another leg.
func (p *Plane) Close(r Ref) {
	w := p.worker(r.Slot)
	w.lock()
	defer w.mu.Unlock()
	if l, ok := w.of(r); ok {
		w.end(&l)
	}
}

// end stops a leg, and forgets all of it but what was counted.
func (w *worker) end(l *leg) {
	w.part(l)
	w.hush(l)
	l.flags = 0
	if w.owner(l.pair) == l.number {
		w.owns[l.pair.id/w.every].leg, l.pair.left = 0, w.now
	}
	for _, in := range l.ins {
		in.forget()
	}
	for _, out := range l.outs {
		out.key.forget()
		out.ctx.Wipe()
	}
	*l.beside = beside{sources: l.sources[:0]} // its memory is the next leg's
}

// Watch implements Commands.
func (p *Plane) Watch(r Ref, on bool) {
	w := p.worker(r.Slot)
	w.lock()
	defer w.mu.Unlock()
	if l, ok := w.of(r); ok {
		l.flags &^= flagWatched
		if on {
			l.flags |= flagWatched
		}
	}
}

// Read implements Commands.
func (p *Plane) Read(r Ref) (Counters, bool) {
	w := p.worker(r.Slot)
	w.mu.Lock()
	defer w.mu.Unlock()
	l, ok := w.leg(r.Slot) // one that was closed as well
	if !ok || l.serial != r.Serial {
		return Counters{}, false
	}
	return l.counters(), true
}

// Emit sends an RTP packet of our own from a leg: ext is its extended sequence number, and fresh says that its numbers begin anew.
func (p *Plane) Emit(r Ref, b []byte, ext uint32, fresh bool) {
	w := p.worker(r.Slot)
	w.lock()
	defer w.mu.Unlock()
	if l, ok := w.of(r); ok {
		w.emit(&l, b, ext, fresh)
	}
}

// Report sends a sender report of our own from a leg: how much it sent as ssrc, and what came.
func (p *Plane) Report(r Ref, ssrc, ts, packets, octets uint32) {
	w := p.worker(r.Slot)
	w.lock()
	defer w.mu.Unlock()
	if l, ok := w.of(r); ok {
		w.originate(&l, ssrc, ts, packets, octets)
	}
}

// lane is that of RTP, 0, or of RTCP.
func (l *leg) lane(i int) *lane {
	if i == 0 {
		return &l.slot.rtp
	}
	return &l.slot.rtcp
}

// Held implements Commands.
func (p *Plane) Held() []Held {
	var out []Held
	for i, w := range p.workers {
		w.mu.Lock()
		for n := range w.slots.slots {
			l, ok := w.leg(uint32(n)*w.every + uint32(i))
			if !ok || l.pair == nil {
				continue
			}
			h := Held{Open: l.open}
			if l.theirs != nil {
				h.In = l.theirs.key.own()
			}
			if l.ours != nil {
				h.Out = l.ours.key.own()
			}
			if l.web != nil {
				h.Checks = l.web.checks
			}
			if o, ok := w.leg(l.other); ok && l.other != 0 {
				h.Joined = o.ref()
			}
			out = append(out, h)
		}
		w.mu.Unlock()
	}
	return out
}
