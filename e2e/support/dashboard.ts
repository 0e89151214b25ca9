import type { Page } from "playwright-core";

/** Opens a hub's page and logs in by its form. */
export async function logIn(
  page: Page,
  { url, token }: { url: string; token: string },
): Promise<void> {
  await page.goto(url);
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText("live", { exact: true }).waitFor();
}
