package main

import (
	"os"
	"testing"
)

func TestTheCheckedInSchemaIsTheGeneratedOne(t *testing.T) {
	t.Chdir("../../../configs")
	got, err := generate(".")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("configs/schema.json is old: make generate")
	}
}
