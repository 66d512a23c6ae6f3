package audit

import "time"

// PlaceContradicted says that evidence speaks against the declared place of an address, or that what speaks against it changed.
type PlaceContradicted struct {
	Party     string     `json:"party"`    // trunk, edge group or inventory entry
	Addr      string     `json:"endpoint"` // address
	Region    string     `json:"declared_region,omitempty"`
	Countries []string   `json:"declared_countries"`
	Standing  string     `json:"standing"`        // contradicted (rank 1 or 2) | doubted (rank 3 or 4)
	Effect    string     `json:"effect"`          // held: nothing is sent there | alarm
	Plane     string     `json:"plane,omitempty"` // media: descriptions name the address, or packets went there; "" for a target and an endpoint outside the call path
	Why       string     `json:"why"`
	Evidence  []Evidence `json:"evidence"`
}

// PlaceCleared says that nothing speaks against the declared place of an address any more: another declaration, another feed, another position of the node.
type PlaceCleared struct {
	Party     string   `json:"party"`
	Addr      string   `json:"endpoint"` // address
	Region    string   `json:"declared_region,omitempty"`
	Countries []string `json:"declared_countries"`
	Why       string   `json:"why"`
}

// PlaceDrifted says that something about where a party is, is new: it refuses nothing, and each value is told once.
type PlaceDrifted struct {
	What    string   `json:"what"` // prefix: its name leads there | tls_identity: it shows it | country: a place of its address, which its declaration does not name
	Party   string   `json:"party"`
	Subject string   `json:"subject"` // host name or address
	Before  []string `json:"before"`  // what was known, the newest last
	After   []string `json:"after"`   // what is new
}

// PlaceEvidenceStale says that a file of evidence counts less than it did, or not as it is now: once for each file and reason.
type PlaceEvidenceStale struct {
	Evidence string    `json:"evidence"` // kind, as in Evidence
	File     string    `json:"file"`     // its name
	Digest   string    `json:"source_digest"`
	What     string    `json:"what"` // expired: its signature; aged: it is old; refused: the file was replaced by one that is not taken, and the last good one goes on
	Since    time.Time `json:"since"`
	Why      string    `json:"why"`
}

func (PlaceContradicted) Kind() Kind { return KindPlaceContradicted }
func (PlaceCleared) Kind() Kind      { return KindPlaceCleared }
func (PlaceDrifted) Kind() Kind      { return KindPlaceDrifted }

func (PlaceEvidenceStale) Kind() Kind { return KindPlaceEvidenceStale }

// decodePlace is Decode for what is about places.
func decodePlace(e Entry) (Event, error) {
	switch e.Kind {
	case KindPlaceContradicted:
		return decodeAs[PlaceContradicted](e)
	case KindPlaceCleared:
		return decodeAs[PlaceCleared](e)
	case KindPlaceEvidenceStale:
		return decodeAs[PlaceEvidenceStale](e)
	case KindInventoryJudged:
		return decodeAs[InventoryJudged](e)
	}
	return decodeAs[PlaceDrifted](e)
}
