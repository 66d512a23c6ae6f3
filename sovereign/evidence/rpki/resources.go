package rpki

import (
	"bytes"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// span is a run of addresses of one family, both ends included. A run of AS numbers is one of addresses of 32 bits.
type span struct{ lo, hi netip.Addr }

func (s span) String() string { return s.lo.String() + "-" + s.hi.String() }

// resources of a certificate.
type resources struct {
	present bool
	inherit bool   // the issuer's; of one family: of all, see parseAddresses
	spans   []span // in order, none touches another
}

// covers says whether all of s is held. Spans do not touch, so one of them must hold all of it.
func (r *resources) covers(s span) bool {
	i, found := slices.BinarySearchFunc(r.spans, s.lo, func(x span, lo netip.Addr) int { return x.lo.Compare(lo) })
	if !found {
		i--
	}
	return i >= 0 && r.spans[i].lo.BitLen() == s.lo.BitLen() && r.spans[i].lo.Compare(s.lo) <= 0 && s.hi.Compare(r.spans[i].hi) <= 0
}

// hold says whether all of another's are held, or what is not.
func (r *resources) hold(of resources) (missing span, ok bool) {
	for _, s := range of.spans {
		if !r.covers(s) {
			return s, false
		}
	}
	return span{}, true
}

// last is the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	return fill(p.Masked().Addr().AsSlice(), p.Bits())
}

// fill sets all bits behind the first n.
func fill(b []byte, n int) netip.Addr {
	for i := n; i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// parseAddresses reads IPAddrBlocks of RFC 3779 section 2.2.3, in the profile of RFC 6487 section 4.8.10: families with two octets, each once, in order, each with
// canonical runs. Where one family inherits and another does not, it is refused: nobody issues that, and what it means for us would need a rule for each family.
func parseAddresses(der []byte) (resources, error) {
	r := resources{present: true}
	var families []struct {
		Family []byte
		Choice asn1.RawValue
	}
	if err := unmarshal(der, &families, ""); err != nil || len(families) == 0 || len(families) > 2 {
		return r, errors.New("its address resources do not read (RFC 3779)")
	}
	inherits, before := 0, 0
	for _, f := range families {
		var size int
		switch string(f.Family) {
		case "\x00\x01":
			size = 4
		case "\x00\x02":
			size = 16
		}
		if size <= before {
			return r, errors.New("its address resources are of an unknown family, or in no order")
		}
		before = size
		if f.Choice.Class == asn1.ClassUniversal && f.Choice.Tag == asn1.TagNull {
			inherits++
			continue
		}
		if err := r.runs(f.Choice.FullBytes, size); err != nil {
			return r, err
		}
	}
	r.inherit = inherits > 0
	if inherits > 0 && inherits < len(families) {
		return r, errors.New("it inherits the addresses of one family alone")
	}
	return r, nil
}

// runs reads the runs of one family. They are refused when they overlap, touch or are in no order: RFC 3779 section 2.2.3.6 wants them canonical.
func (r *resources) runs(der []byte, size int) error {
	var choices []asn1.RawValue
	if err := unmarshal(der, &choices, ""); err != nil || len(choices) == 0 {
		return errors.New("its address resources do not read (RFC 3779)")
	}
	first := len(r.spans)
	for _, c := range choices {
		var ends struct{ Min, Max asn1.BitString }
		if c.Class == asn1.ClassUniversal && c.Tag == asn1.TagBitString {
			if err := unmarshal(c.FullBytes, &ends.Min, ""); err != nil {
				return errors.New("a prefix of its address resources does not read")
			}
			ends.Max = ends.Min
		} else if err := unmarshal(c.FullBytes, &ends, ""); err != nil {
			return errors.New("a range of its address resources does not read")
		}
		if len(ends.Min.Bytes) > size || len(ends.Max.Bytes) > size {
			return errors.New("its address resources have more bits than an address")
		}
		lo, hi := make([]byte, size), make([]byte, size)
		copy(lo, ends.Min.Bytes)
		copy(hi, ends.Max.Bytes)
		from, _ := netip.AddrFromSlice(lo)
		if err := r.add(first, span{from, fill(hi, ends.Max.BitLength)}); err != nil {
			return err
		}
	}
	return nil
}

// add takes a run in that follows the ones from first on.
func (r *resources) add(first int, s span) error {
	if s.hi.Less(s.lo) {
		return fmt.Errorf("its resources have a range that ends before it begins: %s", s)
	}
	if n := len(r.spans); n > first {
		if end := r.spans[n-1].hi; !end.Next().IsValid() || s.lo.Compare(end.Next()) <= 0 {
			return fmt.Errorf("its resources are in no order, or touch: %s", s)
		}
	}
	r.spans = append(r.spans, s)
	return nil
}

// parseNumbers reads ASIdentifiers of RFC 3779 section 3.2.3, in the profile of RFC 6487 section 4.8.11: AS numbers. Routing domains behind them say nothing.
func parseNumbers(der []byte) (resources, error) {
	r := resources{present: true}
	var ids struct {
		Numbers asn1.RawValue `asn1:"tag:0"`
	}
	if err := unmarshal(der, &ids, ""); err != nil {
		return r, errors.New("its AS numbers do not read (RFC 3779)")
	}
	if bytes.Equal(ids.Numbers.Bytes, asn1.NullBytes) {
		r.inherit = true
		return r, nil
	}
	var choices []asn1.RawValue
	if err := unmarshal(ids.Numbers.Bytes, &choices, ""); err != nil || len(choices) == 0 {
		return r, errors.New("its AS numbers do not read (RFC 3779)")
	}
	for _, c := range choices {
		var ends struct{ Min, Max int64 }
		if c.Class == asn1.ClassUniversal && c.Tag == asn1.TagInteger {
			if err := unmarshal(c.FullBytes, &ends.Min, ""); err != nil {
				return r, errors.New("an AS number of it does not read")
			}
			ends.Max = ends.Min
		} else if err := unmarshal(c.FullBytes, &ends, ""); err != nil {
			return r, errors.New("a range of its AS numbers does not read")
		}
		if min(ends.Min, ends.Max) < 0 || max(ends.Min, ends.Max) > 1<<32-1 {
			return r, errors.New("it has an AS number of more than 32 bits")
		}
		if err := r.add(0, span{number(ends.Min), number(ends.Max)}); err != nil {
			return r, err
		}
	}
	return r, nil
}

// number is an AS number as an address.
func number(n int64) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(n))
	return netip.AddrFrom4(b)
}

// unmarshal reads DER that nothing follows.
func unmarshal(der []byte, into any, params string) error {
	rest, err := asn1.UnmarshalWithParams(der, into, params)
	if err == nil && len(rest) > 0 {
		err = errors.New("something follows it")
	}
	return err
}
