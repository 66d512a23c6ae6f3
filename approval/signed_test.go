package approval

import "testing"

func FuzzTicketFile(f *testing.F) {
	p, err := DefaultRules().Proposal(aPlan())
	if err != nil {
		f.Fatal(err)
	}
	raw, err := Ticket{ID: "01M7ZSEJ4ACV91CT8BG84W5FYY", State: Pending, Plan: p, PlanHash: p.Hash()}.Export("c")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := ReadTicketFile(raw)
		if err != nil {
			return
		}
		if file.Plan.Hash() != file.PlanHash {
			t.Fatalf("a plan with the hash %s passes for %s", file.Plan.Hash(), file.PlanHash)
		}
	})
}
