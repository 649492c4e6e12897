// The whole life of a customer, through clients that a standard generator made from the published documents.
//
//	life BASE_URL AUTHORIZATION
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	newest "life/v20240730"
	older "life/v20240509"
)

func main() {
	if err := life(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("alive and archived")
}

func life(ctx context.Context, baseURL, authorization string) error {
	client, err := newest.NewClientWithResponses(baseURL)
	if err != nil {
		return err
	}
	version := newest.PostCustomersParamsSequenceVersion("2024-07-30")
	label := "from Go"
	body := newest.CreateOrUpdateCustomerRequest{
		LegalName: "Gopher Université Ltd",
		Label:     &label,
		TaxStatus: newest.TaxStatus("TAXED"),
		Address:   newest.Address{Line1: "1 High Street", Town: "Leeds", Postcode: "LS1 1AA", Country: "GB"},
		Contacts: []newest.ContactRequestModel{
			{Name: "Ada", Email: "ada@example.com", BillingPreference: newest.ContactBillingPreferencePRIMARY},
		},
	}
	created, err := client.PostCustomersWithResponse(
		ctx, &newest.PostCustomersParams{Authorization: authorization, SequenceVersion: &version}, body)
	if err != nil || created.JSON201 == nil {
		return refused("create", err, created.Status(), created.Body)
	}
	id := created.JSON201.Id

	read, err := client.GetCustomersByIdWithResponse(ctx, id, &newest.GetCustomersByIdParams{Authorization: authorization})
	if err != nil || read.JSON200 == nil {
		return refused("get", err, read.Status(), read.Body)
	}
	if read.JSON200.Contacts[0].Email != "ada@example.com" || read.JSON200.LegalName != body.LegalName {
		return fmt.Errorf("get: not what was written: %s", read.Body)
	}
	if err := updateThroughOlderVersion(ctx, baseURL, authorization, id); err != nil {
		return err
	}
	name := "universite"
	listed, err := client.GetCustomersWithResponse(
		ctx, &newest.GetCustomersParams{Authorization: authorization, LegalName: &name})
	if err != nil || listed.JSON200 == nil {
		return refused("list", err, listed.Status(), listed.Body)
	}
	if len(listed.JSON200.Items) != 1 || listed.JSON200.Items[0].Id != id {
		return fmt.Errorf("list: not found by name: %s", listed.Body)
	}
	read, err = client.GetCustomersByIdWithResponse(ctx, id, &newest.GetCustomersByIdParams{Authorization: authorization})
	if err != nil || read.JSON200 == nil {
		return refused("get", err, read.Status(), read.Body)
	}
	if len(read.JSON200.Contacts) != 2 {
		return fmt.Errorf("get: the update is not seen: %s", read.Body)
	}
	archived, err := client.PostCustomersByIdArchiveWithResponse(
		ctx, id, &newest.PostCustomersByIdArchiveParams{Authorization: authorization})
	if err != nil || archived.JSON200 == nil || archived.JSON200.ArchivedAt == nil {
		return refused("archive", err, archived.Status(), archived.Body)
	}
	missing, err := client.GetCustomersByIdWithResponse(
		ctx, "nobody", &newest.GetCustomersByIdParams{Authorization: authorization})
	if err != nil || missing.StatusCode() != http.StatusNotFound {
		return refused("get a missing one", err, missing.Status(), missing.Body)
	}
	return nil
}

func updateThroughOlderVersion(ctx context.Context, baseURL, authorization, id string) error {
	client, err := older.NewClientWithResponses(baseURL)
	if err != nil {
		return err
	}
	version := older.PutCustomersByIdParamsSequenceVersion("2024-05-09")
	// The published PUT does not list the Authorization header, which every request needs.
	authorize := func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", authorization)
		return nil
	}
	updated, err := client.PutCustomersByIdWithResponse(
		ctx, id, &older.PutCustomersByIdParams{SequenceVersion: &version},
		older.UpdateCustomerRequest{
			LegalName:     "Gopher Université Ltd",
			Address:       older.Address1{Line1: "1 High Street", Town: "Leeds", Postcode: "LS1 1AA", Country: "GB"},
			Email:         "grace@example.com",
			BillingEmails: []string{"ada@example.com"},
			TaxStatus:     older.TaxStatus("TAXED"),
		}, authorize)
	if err != nil || updated.JSON200 == nil {
		return refused("update", err, updated.Status(), updated.Body)
	}
	if updated.JSON200.Email != "grace@example.com" {
		return fmt.Errorf("update: not what was written: %s", updated.Body)
	}
	return nil
}

func refused(what string, err error, status string, body []byte) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %s %s", what, status, body)
}
