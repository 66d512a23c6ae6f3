// Command conformance writes the page of SIP conformance: which test shows which section of which RFC, and what it printed when it was run just now.
//
// A test says what it shows in its comment, on a line of its own: "// Conforms: RFC 3262 section 3; RFC 3264 section 5". The checklist of what a back-to-back
// user agent owes stands in checklist.go; a row that no test shows must say why.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
)

func main() {
	root := flag.String("root", ".", "folder of the module")
	out := flag.String("out", "docs/reference/sip-conformance.md", "file to write")
	interop := flag.Bool("interop", false, "run the tests with real peers, too; else their results are taken from the page as it stands")
	flag.Parse()
	if err := run(*root, *out, *interop); err != nil {
		log.Fatal(err)
	}
}

func run(root, out string, interop bool) error {
	claims, err := read(root)
	if err != nil {
		return err
	}
	before, _ := os.ReadFile(out) // the first time there is none
	results, err := results(root, claims, interop, remembered(string(before)))
	if err != nil {
		return err
	}
	page, err := write(claims, results)
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, page, 0o644); err != nil {
		return err
	}
	for _, c := range claims {
		if r := results[c.test]; r == failed || r == missing {
			return fmt.Errorf("conformance: %s: %s", c.test, r)
		}
	}
	return nil
}
