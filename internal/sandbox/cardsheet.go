package sandbox

import (
	"fmt"
	"html/template"
	"io"
)

// SheetCard is a card on a sheet.
type SheetCard struct {
	Name string
	JSON []byte
}

// CardSheet writes a page with cards on it, each as on a phone and as on a desktop,
// for whoever wants to see what a change does to all of them.
func CardSheet(w io.Writer, cards []SheetCard) error {
	type row struct {
		Name string
		Card template.HTML
	}
	var rows []row
	for _, c := range cards {
		drawn, err := drawCard(c.JSON, cardClick{})
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		rows = append(rows, row{c.Name, drawn})
	}
	page, err := template.New("sheet").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Cards</title>
<style>{{.Style}}
body { margin: 16px; background: #dee0e3; font: 12px sans-serif; width: 952px; }
@media (prefers-color-scheme: dark) { body { background: #000; color: #fff; } }
h2 { margin: 16px 0 4px; font: inherit; }
.row { display: flex; gap: 16px; align-items: flex-start; }
.phone { width: 336px; } .desktop { width: 600px; }
</style>
{{range .Rows}}<h2>{{.Name}}</h2>
<div class="row"><div class="phone">{{.Card}}</div><div class="desktop">{{.Card}}</div></div>
{{end}}
</html>
`)
	if err != nil {
		return fmt.Errorf("read the template of sheets: %w", err)
	}
	if err := page.Execute(w, map[string]any{"Style": template.CSS(cardCSS), "Rows": rows}); err != nil { //nolint:gosec // it is the program's own
		return fmt.Errorf("write a sheet of cards: %w", err)
	}
	return nil
}
