package dialog

import (
	"errors"

	"github.com/cordonsip/cordon/internal/tlv"
	"github.com/cordonsip/cordon/sip/transport"
	msg "github.com/emiago/sipgo/sip"
)

// A dialog that outlives the process is kept as a record of these fields. A number is never given to another field.
const (
	tagCallID byte = iota + 1
	tagLocalSeq
	tagRemoteSeq
	tagInvite
	tagCalls
	tagLocalDisplay
	tagLocalURI
	tagLocalTag
	tagRemoteDisplay
	tagRemoteURI
	tagRemoteTag
	tagTarget
	tagRoute // one for each, in order
)

// Append writes the dialog behind b, for Read.
func (d *Dialog) Append(b []byte) []byte {
	b = tlv.String(b, tagCallID, d.CallID)
	b = tlv.Uint(b, tagLocalSeq, uint64(d.LocalSeq))
	b = tlv.Uint(b, tagRemoteSeq, uint64(d.RemoteSeq))
	b = tlv.Uint(b, tagInvite, uint64(d.Invite))
	b = tlv.Bool(b, tagCalls, d.calls)
	b = tlv.String(b, tagLocalDisplay, d.Local.Display)
	b = d.Local.URI.append(b, tagLocalURI)
	b = tlv.String(b, tagLocalTag, d.Local.Tag)
	b = tlv.String(b, tagRemoteDisplay, d.Remote.Display)
	b = d.Remote.URI.append(b, tagRemoteURI)
	b = tlv.String(b, tagRemoteTag, d.Remote.Tag)
	b = d.Target.append(b, tagTarget)
	for i := range d.Routes {
		b = d.Routes[i].append(b, tagRoute)
	}
	return b
}

// append writes a URI as it stands between angle brackets; nothing for none.
func (u *URI) append(b []byte, tag byte) []byte {
	if u.more == nil && u.host == "" {
		return b
	}
	var room [256]byte
	full := u.Uri()
	return tlv.Bytes(b, tag, transport.AppendURI(room[:0], &full))
}

var errKept = errors.New("dialog: the record of a dialog does not read")

// Read gives the dialog that Append wrote, in memory of its own.
func Read(raw []byte) (*Dialog, error) {
	d := &Dialog{own: true}
	r := tlv.Read(raw)
	for r.Next() {
		switch r.Tag {
		case tagCallID:
			d.CallID = r.String()
		case tagLocalSeq:
			d.LocalSeq = r.Uint32()
		case tagRemoteSeq:
			d.RemoteSeq = r.Uint32()
		case tagInvite:
			d.Invite = r.Uint32()
		case tagCalls:
			d.calls = r.Bool()
		case tagLocalDisplay:
			d.Local.Display = r.String()
		case tagLocalTag:
			d.Local.Tag = r.String()
		case tagRemoteDisplay:
			d.Remote.Display = r.String()
		case tagRemoteTag:
			d.Remote.Tag = r.String()
		case tagLocalURI:
			d.Local.URI = readURI(&r)
		case tagRemoteURI:
			d.Remote.URI = readURI(&r)
		case tagTarget:
			d.Target = readURI(&r)
		case tagRoute:
			d.Routes = append(d.Routes, readURI(&r))
		}
	}
	if r.Bad() || d.CallID == "" || d.Local.Tag == "" || d.Target.Host() == "" {
		return nil, errKept
	}
	return d, nil
}

func readURI(r *tlv.Reader) URI {
	var u msg.Uri
	if !transport.ParseURI(r.String(), &u) {
		r.Fail()
		return URI{}
	}
	return keep(&u)
}

// Next is where a request of the dialog goes: the first route, or without any the remote target. RFC 3261 section 12.2.1.1.
func (d *Dialog) Next() msg.Uri {
	if len(d.Routes) > 0 {
		return d.Routes[0].Uri()
	}
	return d.Target.Uri()
}
