package configs

//go:generate go run ../internal/gen/configdoc -src . -out ../docs/reference/configuration.md
