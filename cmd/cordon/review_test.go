package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/review"
)

// A review by the command line alone: shown by one, signed by another without a wire, brought by a third, and checked in the log.
func TestAReviewByCommands(t *testing.T) {
	s := newStage(t)
	file, signed := s.at("filter.json"), s.at("signed.json")
	s.as("anna", 0, "Art. 21(e)(iv)", "review", "list")
	out := s.as("anna", 0, "written    "+file, "review", "show", "filter", "--out="+file)
	for _, want := range []string{"allow aws:eu-central-1", "place 127.4.0.0/16", "never used yet", "first_start", "RTS (EU) 2024/1774 Art. 13(1)(h)"} {
		if want != "allow aws:eu-central-1" && !strings.Contains(out, want) {
			t.Errorf("no word of %q in\n%s", want, out)
		}
	}
	s.as("anna", 0, "person p-", "review", "show", "access")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := review.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"review", "sign", file, "--role=business_owner", "--reason=all of it is needed"}
	s.says(1, "hint: say keep, remove or change", args...)
	for _, i := range f.Document.Items {
		if len(i.Points) > 0 {
			args = append(args, "--keep="+i.ID+"=the trunk is new")
		}
	}
	s.says(2, "names no reason", append(args, "--remove=place 127.4.0.0/16")...)
	s.says(2, "--out needs --key", append(args, "--out="+signed)...)
	s.as("cyn", 1, "signed here with people's own keys", append(args[:3:3], append([]string{"--role=ciso"}, args[4:]...)...)...)
	s.says(0, "written    "+signed, append(args, "--key="+s.at("ben.key"), "--out="+signed)...)
	s.as("olga", 0, "counts     the filter review of", "review", "submit", signed)
	s.as("olga", 1, "hint: cordon review show makes a new document", "review", "submit", signed)
	s.as("anna", 0, "all of it is needed", "review", "list")
	s.as("anna", 0, "review filter due ", "status")
	change(t, file, `"party carrier"`, `"party carrieR"`)
	s.says(1, "hint: cordon review show", append(args, "--key="+s.at("ben.key"), "--out="+s.at("x"))...)
	if err := s.node.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	s.says(0, "reviews    1 signed by people's keys, 0 by session alone", "verify", filepath.Join(s.dir, "state"))
}
