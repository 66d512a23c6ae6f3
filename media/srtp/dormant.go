package srtp

// dormant is session keys as they were derived, RFC 3711 section 4.3. Those of RTCP stay so: a report comes every few seconds, and making what the processor works with
// takes a fraction of a microsecond. A call has four contexts, each of which would be half as large again.
type dormant struct {
	salt   block
	cipher [32]byte
	auth   [authKey]byte
	awake  *session // where waking would allocate; nil else
}

// derive makes the three session keys whose labels begin at first.
func (d *dormant) derive(s Suite, prf *keys, salt []byte, first byte) {
	var mask [16]byte
	defer func() { clear(mask[:]) }()
	n, m := s.Lengths()
	prf.random(d.cipher[:n], salt, first+labelCipher)
	prf.random(d.auth[:], salt, first+labelAuth)
	prf.random(mask[:m], salt, first+labelSalt)
	d.salt = blockOf(mask)
}

// settle finds out that the keys can be woken, and whether they must stay awake.
func (d *dormant) settle(s Suite) error {
	var k session
	defer func() { k = session{} }()
	if d.awake != nil {
		return d.awake.wake(s, d)
	}
	if err := k.wake(s, d); err != nil {
		return err
	}
	if k.lasting() {
		d.awake = new(session)
		*d.awake = k
	}
	return nil
}

// wipe overwrites what is secret.
func (d *dormant) wipe() {
	if d.awake != nil {
		d.awake.wipe()
	}
	*d = dormant{}
}

// wake takes the keys into use.
func (k *session) wake(s Suite, d *dormant) error {
	n, _ := s.Lengths()
	k.salt = d.salt
	return k.set(s, d.cipher[:n], d.auth[:])
}
