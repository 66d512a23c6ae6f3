// Package mmdb reads databases of addresses in the MaxMind DB format 2.0 as evidence: the weakest, a tripwire that alarms and neither allows nor refuses. The operator
// brings the file; none is shipped, and what such a file says of the law (is_in_european_union) is not read.
//
// It is pure: the file comes in as bytes. It imports sovereign/evidence and the reader of the format.
package mmdb

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/cordonsip/cordon/sovereign/evidence"
)

// Parse reads a whole file and holds it in memory. A file that is cut, or whose tree or records do not hold together, is an error: it is read once, here, so that no
// lookup meets what is wrong in it. The table is as old as the database says.
func Parse(data []byte) (*evidence.Table, error) {
	if len(data) > evidence.MaxFile {
		return nil, fmt.Errorf("mmdb: the file has %d bytes, more than %d", len(data), evidence.MaxFile)
	}
	db, err := maxminddb.OpenBytes(data)
	if err == nil {
		err = walkable(data, db.Metadata.NodeCount, db.Metadata.RecordSize)
	}
	if err == nil {
		err = db.Verify()
	}
	if err != nil {
		return nil, fmt.Errorf("mmdb: the file is no whole database of the MaxMind format: %w", err)
	}
	if v := db.Metadata.IPVersion; v != 4 && v != 6 {
		return nil, fmt.Errorf("mmdb: the database is of addresses of version %d", v)
	}
	if db.Metadata.NodeCount == 0 {
		return nil, errors.New("mmdb: the database is empty")
	}
	return evidence.Database(func(a netip.Addr) (netip.Prefix, string, bool) { return find(db, a) }, int(db.Metadata.NodeCount), db.Metadata.BuildTime().UTC()), nil
}

// find gives the network that an address lies in, and its country; "" where the database does not place it, or calls it anycast.
func find(db *maxminddb.Reader, a netip.Addr) (netip.Prefix, string, bool) {
	if db.Metadata.IPVersion == 4 && !a.Is4() {
		return netip.Prefix{}, "", false
	}
	r := db.Lookup(a)
	if r.Err() != nil || !r.Found() {
		return netip.Prefix{}, "", false
	}
	var anycast bool
	if err := r.DecodePath(&anycast, "traits", "is_anycast"); err == nil && anycast {
		return r.Prefix(), "", true
	}
	return r.Prefix(), country(r), true
}

// country reads where the network is, and failing that where its holder registered it: nested as GeoLite2 and DB-IP have it, flat as IPinfo does.
func country(r maxminddb.Result) string {
	for _, path := range [][]any{{"country", "iso_code"}, {"country_code"}, {"country"}, {"registered_country", "iso_code"}} {
		var code string
		if err := r.DecodePath(&code, path...); err == nil && len(code) == 2 {
			return strings.ToUpper(code)
		}
	}
	return ""
}
