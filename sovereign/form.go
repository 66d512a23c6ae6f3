package sovereign

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"github.com/cordonsip/cordon/internal/octets"
)

// MaxRuling is the longest form of a ruling in bytes.
const MaxRuling = 64 << 10

const rulingForm = 1 // first byte of a ruling that travels

// AppendBinary appends r in the form that DecodeRuling reads. It fails, and gives b back, for a time outside of the years 1 to 9999 and above MaxRuling.
func (r Ruling) AppendBinary(b []byte) ([]byte, error) {
	w := &octets.Writer{Bytes: b}
	w.Byte(rulingForm)
	w.Byte(byte(r.Verdict))
	w.Text(string(r.Ground))
	w.Text(r.Why)
	r.Place.write(w)
	writeRegion(w, r.Region)
	writeCountry(w, r.Country)
	w.Text(string(r.Standing))
	w.Text(r.Instrument)
	w.Text(string(r.Proof))
	w.Time(r.Until)
	w.Text(r.Grant)
	w.Uint(r.Generation)
	if err := w.Err(); err != nil {
		return b, fmt.Errorf("sovereign: ruling: %w", err)
	}
	if n := len(w.Bytes) - len(b); n > MaxRuling {
		return b, fmt.Errorf("sovereign: ruling: %d bytes are more than the %d that may travel", n, MaxRuling)
	}
	return w.Bytes, nil
}

// DecodeRuling reads what AppendBinary wrote and keeps nothing of b. With an error comes the zero Ruling, which denies.
func DecodeRuling(b []byte) (Ruling, error) {
	if len(b) > MaxRuling {
		return Ruling{}, fmt.Errorf("sovereign: ruling: %d bytes are more than the %d that may travel", len(b), MaxRuling)
	}
	r := octets.NewReader(b)
	if v := r.Byte(); v != rulingForm {
		r.Fail("it has form %d, and this program reads form %d", v, rulingForm)
	}
	out := Ruling{Verdict: Verdict(r.Byte()), Ground: Ground(r.Text()), Why: r.Text(), Place: readPlace(r), Region: readRegion(r), Country: readCountry(r)}
	out.Standing, out.Instrument, out.Proof = Standing(r.Text()), r.Text(), Proof(r.Text())
	out.Until, out.Grant, out.Generation = r.Time(), r.Text(), r.Uint()
	if out.Verdict > Permit {
		r.Fail("%d is no verdict", byte(out.Verdict))
	}
	err := r.End()
	if err == nil {
		var again []byte
		if again, err = out.AppendBinary(make([]byte, 0, len(b))); err == nil && !bytes.Equal(again, b) {
			err = errors.New("it is not written as this program writes it")
		}
	}
	if err != nil {
		return Ruling{}, fmt.Errorf("sovereign: ruling: %w", err)
	}
	return out, nil
}

func (p Place) write(w *octets.Writer) {
	addr, _ := p.Addr.MarshalBinary() // which never fails
	prefix, _ := p.Prefix.MarshalBinary()
	w.Octets(addr)
	w.Octets(prefix)
	writeRegion(w, p.Region)
	octets.Put(w, p.Countries, writeCountry)
	w.Text(p.Operator)
	w.Text(p.Contract)
	w.Time(p.ValidUntil)
}

func readPlace(r *octets.Reader) Place {
	var addr netip.Addr
	var prefix netip.Prefix
	if err := addr.UnmarshalBinary(r.Octets()); err != nil {
		r.Fail("an address: %w", err)
	}
	if err := prefix.UnmarshalBinary(r.Octets()); err != nil {
		r.Fail("a prefix: %w", err)
	}
	return Place{
		Addr: addr, Prefix: prefix, Region: readRegion(r), Countries: octets.List(r, readCountry), Operator: r.Text(), Contract: r.Text(), ValidUntil: r.Time(),
	}
}

func writeCountry(w *octets.Writer, c Country)   { w.Text(string(c)) }
func readCountry(r *octets.Reader) Country       { return Country(r.Text()) }
func writeTexts(w *octets.Writer, list []string) { octets.Put(w, list, (*octets.Writer).Text) }

func writeRegion(w *octets.Writer, r Region) {
	w.Text(r.Provider)
	w.Text(r.Code)
}

func readRegion(r *octets.Reader) Region { return Region{r.Text(), r.Text()} }

func writeRegionFact(w *octets.Writer, f RegionFact) {
	writeRegion(w, f.Region)
	w.Text(f.City)
	writeCountry(w, f.Country)
	w.Text(f.Status)
	writeCountry(w, f.OperatorHQ)
	w.Text(f.Source)
	w.Text(f.Confidence)
	w.Time(f.AsOf)
}

func readRegionFact(r *octets.Reader) RegionFact {
	return RegionFact{
		Region: readRegion(r), City: r.Text(), Country: readCountry(r), Status: r.Text(), OperatorHQ: readCountry(r), Source: r.Text(), Confidence: r.Text(), AsOf: r.Time(),
	}
}

func writeParty(w *octets.Writer, p Party) {
	w.Text(p.Name)
	w.Byte(byte(p.Kind))
	writeRegion(w, p.Region)
	writeRegion(w, p.OrgHomeRegion)
	octets.Put(w, p.MediaRegions, writeRegion)
	w.Text(p.MediaEvidence)
	w.Text(p.Contract)
	octets.Put(w, p.Attributes, writeAttribute)
}

func readParty(r *octets.Reader) Party {
	return Party{
		Name: r.Text(), Kind: PartyKind(r.Byte()), Region: readRegion(r), OrgHomeRegion: readRegion(r), MediaRegions: octets.List(r, readRegion),
		MediaEvidence: r.Text(), Contract: r.Text(), Attributes: octets.List(r, readAttribute),
	}
}

// The shapes of an attested value.
const (
	valueBool byte = iota
	valueText
	valueTexts
)

// writeAttribute writes one of a snapshot, so its value has been checked.
func writeAttribute(w *octets.Writer, a Attribute) {
	w.Text(a.Name)
	switch v := a.Value.(type) {
	case bool:
		w.Byte(valueBool)
		w.Bool(v)
	case string:
		w.Byte(valueText)
		w.Text(v)
	case []string:
		w.Byte(valueTexts)
		writeTexts(w, v)
	case []any: // from a file; it means what a list of texts means, and comes out as one
		w.Byte(valueTexts)
		octets.Put(w, v, func(w *octets.Writer, e any) { s, _ := e.(string); w.Text(s) })
	}
	w.Text(a.Evidence)
	w.Time(a.At)
}

func readAttribute(r *octets.Reader) Attribute {
	a := Attribute{Name: r.Text()}
	switch kind := r.Byte(); kind {
	case valueBool:
		a.Value = r.Bool()
	case valueText:
		a.Value = r.Text()
	case valueTexts:
		a.Value = octets.List(r, (*octets.Reader).Text)
	default:
		r.Fail("%d is no shape of a value", kind)
	}
	a.Evidence, a.At = r.Text(), r.Time()
	return a
}

func writeDeclaration(w *octets.Writer, d Declaration) {
	w.Text(d.Prefix)
	writeRegion(w, d.Region)
	octets.Put(w, d.Countries, writeCountry)
	w.Text(d.Operator)
	w.Text(d.Contract)
	w.Time(d.ValidFrom)
	w.Time(d.ValidUntil)
}

func readDeclaration(r *octets.Reader) Declaration {
	return Declaration{
		Prefix: r.Text(), Region: readRegion(r), Countries: octets.List(r, readCountry), Operator: r.Text(), Contract: r.Text(), ValidFrom: r.Time(), ValidUntil: r.Time(),
	}
}

func writeSuspension(w *octets.Writer, s Suspension) {
	w.Text(s.Instrument)
	w.Time(s.Since)
	w.Text(s.Reason)
	w.Text(s.KeyID)
	w.Octets(s.Sig)
}

func readSuspension(r *octets.Reader) Suspension {
	return Suspension{Instrument: r.Text(), Since: r.Time(), Reason: r.Text(), KeyID: r.Text(), Sig: append([]byte(nil), r.Octets()...)}
}

func writeGrant(w *octets.Writer, g Grant) {
	w.Text(g.ID)
	writeTexts(w, g.Trunks)
	writeTexts(w, g.Groups)
	octets.Put(w, g.Regions, writeRegion)
	w.Time(g.NotBefore)
	w.Time(g.Until)
	w.Uint(g.Entry)
}

func readGrant(r *octets.Reader) Grant {
	return Grant{
		ID: r.Text(), Trunks: octets.List(r, (*octets.Reader).Text), Groups: octets.List(r, (*octets.Reader).Text), Regions: octets.List(r, readRegion),
		NotBefore: r.Time(), Until: r.Time(), Entry: r.Uint(),
	}
}
