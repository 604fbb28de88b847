using System.CommandLine;
using System.Net;
using Godwit.Access;
using Godwit.Access.Certificates;
using Godwit.Access.Roles;
using Godwit.Cli.Terminal;
using Godwit.Grains.Interfaces;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit cluster init</c>, <c>issue</c> and <c>revoke</c>: who belongs to a cluster. They touch files only.</summary>
internal static class ClusterAuthorityCommands
{
    private const int LongestLife = 3650;

    private static readonly Option<string> _folder = new("--cluster")
    {
        Description = "The authority's folder (default: $XDG_STATE_HOME/godwit or ~/.local/state/godwit)",
        HelpName = "DIR",
        DefaultValueFactory = _ => LocalCluster.DefaultFolder(),
    };

    private static readonly Option<bool> _json = new("--json") { Description = "Print JSON" };
    private static readonly Argument<string> _name = new("NAME") { Description = "Whom it is for" };
    private static readonly Option<string[]> _addresses = new("--address") { Description = "Where it will listen; again for more (default: anywhere)", HelpName = "IP" };
    private static readonly Option<string?> _out = new("--out") { Description = "Folder to make for it (default: NAME)", HelpName = "DIR" };
    private static readonly Option<int> _days = new("--days") { Description = "How long it counts", HelpName = "N", DefaultValueFactory = _ => 365 };
    private static readonly Option<string> _role = new("--role") { Description = "viewer: look; operator: also run; admin: also create and delete", DefaultValueFactory = _ => "viewer" };
    private static readonly Option<string[]> _gateways = new("--gateway") { Description = "Where a silo takes clients; again for more", HelpName = "HOST:PORT" };

    private static readonly Option<int> _port = new("--port") { Description = "Where Redis takes TLS", HelpName = "P", DefaultValueFactory = _ => 6379 };

    public static Command CreateInit()
    {
        var command = new Command("init", """
            Makes a cluster's authority: a key that says who belongs to the cluster. Keep its folder to yourself; silos and
            clients get folders of their own ("godwit cluster issue").

            Example:
              godwit cluster init --cluster authority
            """)
        { _folder, _json };
        command.SetAction(parsed =>
        {
            var folder = Path.GetFullPath(parsed.GetValue(_folder)!);
            var authority = ClusterAuthority.Init(folder, TimeProvider.System);
            new Output(parsed.GetValue(_json)).Result(
                new { folder, authority = authority.Certificate.Subject, notAfter = authority.Certificate.NotAfter.ToUniversalTime() },
                $"Authority made in {folder}; issue folders to silos and clients with \"godwit cluster issue\".");
        });
        return command;
    }

    public static Command CreateIssue()
    {
        _role.AcceptOnlyFromAmong("viewer", "operator", "admin");
        _days.Validators.Add(r =>
        {
            if (r.GetValueOrDefault<int>() is < 1 or > LongestLife)
            {
                r.AddError($"--days takes 1 to {LongestLife}.");
            }
        });
        _port.Validators.Add(r =>
        {
            if (r.GetValueOrDefault<int>() is < 1 or > 65535)
            {
                r.AddError("--port takes 1 to 65535.");
            }
        });
        return new Command("issue", "Issues a certificate with its key, in a folder to be copied to where it is used.")
        {
            Issue("silo", "a silo: copy the folder to its machine and run \"godwit silo --cluster DIR --address IP --store HOST:PORT\"", [_addresses], (authority, parsed, life) =>
                authority.IssueSilo(parsed.GetValue(_name)!, Addresses(parsed), life)),
            Issue("client", "a person or a program: \"godwit vm list --cluster DIR\"", [_role, _gateways], (authority, parsed, life) =>
                authority.IssueClient(parsed.GetValue(_name)!, Enum.Parse<ClusterRole>(parsed.GetValue(_role)!, ignoreCase: true), life)),
            Issue("store", "a Redis that speaks TLS: copy the folder to its machine and run \"redis-server redis.conf\" in it", [_addresses, _port], (authority, parsed, life) =>
                authority.IssueStore(parsed.GetValue(_name)!, Addresses(parsed), life)),
        };
    }

    public static Command CreateRevoke()
    {
        var command = new Command("revoke", $"""
            Revokes all that was issued to a name. Copy the file "{RevocationList.FileName}" to every silo's cluster folder: within a
            second its connections and calls are refused there.

            Example:
              godwit cluster revoke alice --cluster authority
            """)
        { _name, _folder, _json };
        command.SetAction(parsed =>
        {
            var folder = Path.GetFullPath(parsed.GetValue(_folder)!);
            var name = parsed.GetValue(_name)!;
            var revoked = ClusterAuthority.Open(folder, TimeProvider.System).Revoke(name);
            if (revoked.Count == 0)
            {
                throw new IOException($"Nothing that counts was issued to {name}.");
            }

            var file = Path.Combine(folder, RevocationList.FileName);
            new Output(parsed.GetValue(_json)).Result(
                new { name, revoked = revoked.Select(r => r.Serial), file },
                $"{revoked.Count} of {name} revoked; copy {file} to every silo's cluster folder.");
        });
        return command;
    }

    private static Command Issue(string kind, string purpose, Option[] options, Func<ClusterAuthority, ParseResult, TimeSpan, Identity> issue)
    {
        var command = new Command(kind, $"For {purpose}.") { _name, _out, _days, _folder, _json };
        foreach (var option in options)
        {
            command.Options.Add(option);
        }

        command.SetAction(parsed =>
        {
            var name = RequireName(parsed.GetValue(_name)!);
            var folder = Path.GetFullPath(parsed.GetValue(_out) ?? name);
            var authority = ClusterAuthority.Open(Path.GetFullPath(parsed.GetValue(_folder)!), TimeProvider.System);
            var identity = issue(authority, parsed, TimeSpan.FromDays(parsed.GetValue(_days)));
            if (identity.Peer.Kind == PeerKind.Store)
            {
                StoreFolder.Write(folder, identity, parsed.GetValue(_port), authority.StorePassword);
            }
            else
            {
                Write(identity, folder, kind == "client" ? parsed.GetValue(_gateways) ?? [] : []);
            }

            new Output(parsed.GetValue(_json)).Result(
                new { name, kind, folder, serial = identity.Peer.Serial, notAfter = identity.Certificate.NotAfter.ToUniversalTime() },
                $"Issued to {kind} {name} until {identity.Certificate.NotAfter.ToUniversalTime():yyyy-MM-dd}: {folder}");
        });
        return command;
    }

    private static void Write(Identity identity, string folder, string[] gateways)
    {
        OwnerFile.CreateFolder(folder);
        identity.Write(Path.Combine(folder, Identity.FileName));
        if (gateways.Length > 0)
        {
            OwnerFile.Write(Path.Combine(folder, ClusterAccess.GatewaysFile), string.Join('\n', gateways) + "\n", replace: true);
        }
    }

    private static IPAddress[] Addresses(ParseResult parsed) =>
        [.. (parsed.GetValue(_addresses) ?? []).Select(a => IPAddress.TryParse(a, out var address) ? address : throw new UsageException($"--address {a}: write an IP address."))];

    private static string RequireName(string name) =>
        name.Length is > 0 and <= 63 && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.')
            ? name
            : throw new UsageException($"\"{name}\" is not a name: use 1 to 63 letters, digits, '-', '_' and '.'.");
}
