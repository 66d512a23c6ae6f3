package configs

// transfer reads what a REFER of a party does.
func (b *builder) transfer(p *Party, at string) string {
	switch p.Transfer {
	case "", "local", "relay", "refuse":
	default:
		b.fail(at+".transfer", "local (planned and judged here), relay (sent on to the other side) or refuse", "%q is unknown", p.Transfer)
	}
	return p.Transfer
}
