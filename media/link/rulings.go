package link

import "github.com/cordonsip/cordon/sovereign"

// maxRulings bounds those that are shared. A peer has its media at few addresses, each with one ruling, and each call holds two or four of them.
const maxRulings = 256

// rulings are those that were read last, by their form on the wire: nobody changes a ruling, so calls share it. The zero rulings are ready.
type rulings struct{ known map[string]*sovereign.Ruling }

// decode reads a ruling. It is never nil.
func (k *rulings) decode(b []byte) (*sovereign.Ruling, error) {
	if k != nil {
		if r := k.known[string(b)]; r != nil {
			return r, nil
		}
	}
	r, err := sovereign.DecodeRuling(b)
	if err != nil || k == nil {
		return &r, err
	}
	if k.known == nil || len(k.known) == maxRulings {
		k.known = make(map[string]*sovereign.Ruling)
	}
	k.known[string(b)] = &r
	return &r, nil
}
