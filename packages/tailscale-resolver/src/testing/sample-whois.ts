/**
 * Returns tailscaled's answer about anvil, whose owner is ada@example.org. The fields are those of
 * version 1.102.
 *
 * @param changes - Fields of `Node` and `UserProfile` to replace, and the grants.
 */
export const sampleWhoIs = ({
  node = {},
  user = {},
  grants = null,
}: {
  node?: object;
  user?: object;
  grants?: object | null;
} = {}) => ({
  Node: {
    ID: 8_120_093_355_410_066n,
    StableID: "nAnvilCNTRL",
    Name: "anvil.moss-lantern.ts.net.",
    User: 7001,
    Key: "nodekey:3a0e",
    KeyExpiry: "2027-01-31T12:00:00Z",
    Addresses: ["100.70.0.2/32", "fd7a:115c:a1e0::1:2/128"],
    AllowedIPs: ["100.70.0.2/32", "fd7a:115c:a1e0::1:2/128", "10.44.0.0/24"],
    Hostinfo: { OS: "linux", Hostname: "anvil" },
    CapMap: { "https://tailscale.com/cap/file-sharing": null },
    Online: true,
    ComputedName: "anvil",
    ...node,
  },
  UserProfile: {
    ID: 7001,
    LoginName: "ada@example.org",
    DisplayName: "Ada",
    ...user,
  },
  CapMap: grants,
});
