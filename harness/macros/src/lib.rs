//! `#[watertight::test]`: declares a test function as an audited case.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Expr, ExprLit, Ident, ItemFn, Lit, LitInt, LitStr, Meta, Token, parenthesized,
    parse_macro_input,
};

/// Declares a test: `fn` or `async fn`, with no argument or with `cx: &watertight::Context`, returning
/// nothing or a `Result`.
///
/// Arguments, all optional:
///
/// | argument | meaning |
/// |---|---|
/// | `rounds = 5` | at most this many rounds; 1 where the body cannot be repeated |
/// | `net = "host"` | the machine's network in place of a private one |
/// | `deadline = "30s"` | time for the whole trial (`ms`, `s`, `m`, `h`) |
/// | `allow(fd = 1, heap = 4096)` | growth that one round may leave: things, or bytes for heap |
/// | `rss_max = "64 MiB"` | ceiling on peak resident memory |
/// | `workers = 2` | `async fn`: worker threads of its runtime; without it the test's own thread |
///
/// `#[should_panic]`, `#[should_panic(expected = "...")]` and `#[ignore]` work as usual.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let arguments = parse_macro_input!(arguments as Arguments);
    let function = parse_macro_input!(item as ItemFn);
    expand(&arguments, function).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// For `watertight::main!`: a suite, a comma, and what is declared for all of its cases.
#[doc(hidden)]
#[proc_macro]
pub fn declare(input: TokenStream) -> TokenStream {
    let Declared { suite, arguments } = parse_macro_input!(input as Declared);
    if let Some(workers) = &arguments.workers {
        let error = syn::Error::new_spanned(workers, "`workers` is for a single `async fn`");
        return error.to_compile_error().into();
    }
    let options = arguments.options;
    quote!(#suite #(#options)*).into()
}

/// What [`declare!`] is given.
struct Declared {
    suite: Expr,
    arguments: Arguments,
}

impl Parse for Declared {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let suite = input.parse()?;
        input.parse::<Token![,]>()?;
        Ok(Self { suite, arguments: input.parse()? })
    }
}

fn expand(arguments: &Arguments, mut function: ItemFn) -> syn::Result<Tokens> {
    let name = function.sig.ident.clone();
    if function.sig.inputs.len() > 1 {
        return Err(syn::Error::new_spanned(
            &function.sig.inputs,
            "a test takes no argument, or `cx: &watertight::Context`",
        ));
    }
    if let Some(parameter) = function.sig.generics.params.first() {
        return Err(syn::Error::new_spanned(parameter, "a test cannot be generic"));
    }
    let marks = take_marks(&mut function.attrs)?;
    let argument = (!function.sig.inputs.is_empty()).then(|| quote!(cx));
    let case = if function.sig.asyncness.is_some() {
        let workers =
            arguments.workers.as_ref().map_or_else(|| quote!(0), |workers| quote!(#workers));
        quote! {
            ::watertight::Case::new_async(name, #workers, |cx| {
                let _ = cx;
                ::std::boxed::Box::pin(async move { ::watertight::private::Ending::ending(#name(#argument).await) })
            })
        }
    } else {
        if let Some(workers) = &arguments.workers {
            return Err(syn::Error::new_spanned(workers, "`workers` is for `async fn`"));
        }
        quote! {
            ::watertight::Case::new(name, |cx| {
                let _ = cx;
                ::watertight::private::Ending::ending(#name(#argument))
            })
        }
    };
    let options = &arguments.options;
    let register = format_ident!("__watertight_{}", name);
    Ok(quote! {
        #function

        #[doc(hidden)]
        #[allow(non_snake_case)]
        fn #register() -> ::watertight::Case {
            let name = ::watertight::private::name(module_path!(), stringify!(#name));
            #case.package(env!("CARGO_MANIFEST_DIR")) #(#options)* #(#marks)*
        }

        ::watertight::private::inventory::submit! {
            ::watertight::private::Registration { case: #register }
        }
    })
}

/// Takes `#[ignore]` and `#[should_panic]` off the function and gives the calls that stand for them.
fn take_marks(attributes: &mut Vec<Attribute>) -> syn::Result<Vec<Tokens>> {
    let mut marks = Vec::new();
    let mut kept = Vec::new();
    for attribute in attributes.drain(..) {
        if attribute.path().is_ident("ignore") {
            marks.push(quote!(.ignore()));
        } else if attribute.path().is_ident("should_panic") {
            marks.push(match expected(&attribute.meta)? {
                Some(text) => quote!(.should_panic(::std::option::Option::Some(#text))),
                None => quote!(.should_panic(::std::option::Option::None)),
            });
        } else {
            kept.push(attribute);
        }
    }
    *attributes = kept;
    Ok(marks)
}

/// `#[should_panic]`, `#[should_panic = "..."]` or `#[should_panic(expected = "...")]`.
fn expected(meta: &Meta) -> syn::Result<Option<LitStr>> {
    let text = |expression: &Expr| match expression {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(Some(text.clone())),
        other => Err(syn::Error::new_spanned(other, "expected a string")),
    };
    match meta {
        Meta::Path(_) => Ok(None),
        Meta::NameValue(pair) => text(&pair.value),
        Meta::List(list) => {
            let pair: syn::MetaNameValue = list.parse_args()?;
            if !pair.path.is_ident("expected") {
                return Err(syn::Error::new_spanned(pair.path, "expected `expected = \"...\"`"));
            }
            text(&pair.value)
        }
    }
}

/// What stands in the attribute's parentheses, each already as a call on the case.
#[derive(Default)]
struct Arguments {
    options: Vec<Tokens>,
    workers: Option<LitInt>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut arguments = Self::default();
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            arguments.one(&name, input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

impl Arguments {
    fn one(&mut self, name: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
        if name == "allow" {
            let content;
            parenthesized!(content in input);
            let pairs: Punctuated<Allowance, Token![,]> =
                content.parse_terminated(Allowance::parse, Token![,])?;
            self.options.extend(pairs.into_iter().map(|pair| {
                let Allowance { resource, growth } = pair;
                quote!(.allow(::watertight::Resource::#resource, #growth))
            }));
            return Ok(());
        }
        input.parse::<Token![=]>()?;
        match name.to_string().as_str() {
            "rounds" => {
                let rounds: LitInt = input.parse()?;
                if rounds.base10_parse::<u32>()? == 0 {
                    return Err(syn::Error::new_spanned(rounds, "a test runs at least one round"));
                }
                self.options.push(quote!(.rounds(#rounds)));
            }
            "workers" => self.workers = Some(input.parse()?),
            "net" => {
                let net: LitStr = input.parse()?;
                let variant = match net.value().as_str() {
                    "host" => quote!(Host),
                    "private" => quote!(Private),
                    _ => {
                        return Err(syn::Error::new_spanned(
                            net,
                            "`net` is \"host\" or \"private\"",
                        ));
                    }
                };
                self.options.push(quote!(.net(::watertight::Net::#variant)));
            }
            "deadline" => {
                let kind = quote!(::std::time::Duration);
                self.options.push(in_words("deadline", "duration", &kind, &input.parse()?));
            }
            "rss_max" => {
                self.options.push(match input.parse()? {
                    Lit::Int(bytes) => quote!(.rss_max(#bytes)),
                    Lit::Str(text) => in_words("rss_max", "bytes", &quote!(u64), &text),
                    other => {
                        return Err(syn::Error::new_spanned(
                            other,
                            "expected bytes, as 67108864 or \"64 MiB\"",
                        ));
                    }
                });
            }
            _ => {
                return Err(syn::Error::new_spanned(
                    name,
                    "unknown argument; there are rounds, net, deadline, allow(...), rss_max and workers",
                ));
            }
        }
        Ok(())
    }
}

/// `fd = 1`
struct Allowance {
    resource: Ident,
    growth: LitInt,
}

impl Parse for Allowance {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name: Ident = input.parse()?;
        input.parse::<Token![=]>()?;
        let growth = input.parse()?;
        let variant = match name.to_string().as_str() {
            "fd" => "Fd",
            "socket" => "Socket",
            "time_wait" => "TimeWait",
            "thread" => "Thread",
            "task" => "Task",
            "process" => "Process",
            "heap" | "heap_bytes" => "Heap",
            "gauge" => "Gauge",
            "mapping" => "Mapping",
            "file" => "File",
            "shm" => "Shm",
            "inotify_watch" => "InotifyWatch",
            "lock" => "Lock",
            "state" => "State",
            _ => {
                return Err(syn::Error::new_spanned(
                    name,
                    "unknown resource; there are fd, socket, time_wait, thread, task, process, heap, gauge, mapping, file, shm, inotify_watch, lock and state",
                ));
            }
        };
        Ok(Self { resource: Ident::new(variant, name.span()), growth })
    }
}

/// The call of an option whose text is read, and checked, when it is compiled: the words are those of the
/// configuration file, and are known in one place.
fn in_words(option: &str, reader: &str, kind: &Tokens, text: &LitStr) -> Tokens {
    let (option, reader) = (format_ident!("{option}"), format_ident!("{reader}"));
    let read = quote_spanned!(text.span()=> ::watertight::private::#reader(#text));
    quote!(.#option({ const DECLARED: #kind = #read; DECLARED }))
}
